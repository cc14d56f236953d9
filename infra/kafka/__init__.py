"""A real one-node Kafka without Docker: jars, Java, configuration, process."""
