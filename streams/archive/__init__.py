"""The log as Parquet files: every record once, for ever, for as long as Kafka's own copy lasts and after it."""
