"""The log and the roads to it: topics, codec, producers, consumers, spool, queries. Kafka and DuckDB live only here."""
