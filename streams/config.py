"""How to reach the log, and how it is archived: the tables `[kafka]` and `[archive]` of the settings."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class KafkaConfig(BaseModel):
    """Where the broker is, and how topics are named on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str | None = None  # None: nextstate starts its own one-node broker
    topic_prefix: str = ""  # put before every topic name and consumer group: several stacks can share a broker
    replication_factor: int = 1
    client: dict[
        str, str
    ] = {}  # passed through to librdkafka as it is (SASL, TLS ...); secrets come from the environment

    def topic(self, name: str) -> str:
        """The name of a topic on the broker."""
        return f"{self.topic_prefix}{name}"


class ArchiveConfig(BaseModel):
    """How the log is kept as Parquet files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True  # False: what Kafka's retention deletes is gone
    folder: Path | None = None  # None: `archive` in the stack's home
    flush_s: float = Field(default=5.0, gt=0)  # how old a record may get before it is archived
    flush_mib: int = Field(default=32, ge=1)  # of values; as many again may be gathered while they are written
