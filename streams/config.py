"""How to reach the log, and how it is archived: the tables `[kafka]` and `[archive]` of the settings."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class KafkaConfig(BaseModel):
    """Where the broker is, and how topics are named on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str | None = None  # None: nextstate starts its own one-node broker
    topic_prefix: str = ""  # put before every topic name and consumer group: several stacks can share a broker
    # Copies of each topic that is made. From 3 on a record is acknowledged only when 2 of them have it: no single
    # broker's loss can lose it. With 2 copies that would stop all writing at each restart of one: as the broker says.
    replication_factor: int = Field(default=1, ge=1)
    # Passed through to librdkafka as it is (SASL, TLS ...); secrets come from the environment.
    client: dict[str, str] = Field(default={}, repr=False)

    def topic(self, name: str) -> str:
        """The name of a topic on the broker."""
        return f"{self.topic_prefix}{name}"

    @property
    def min_in_sync(self) -> int | None:
        """How many copies must have a record before it is acknowledged; None: what the broker's own setting says."""
        return 2 if self.replication_factor >= 3 else None

    @property
    def copying(self) -> dict[str, str]:
        """Kafka's settings for it, of every topic that is made."""
        return {} if self.min_in_sync is None else {"min.insync.replicas": str(self.min_in_sync)}


class ArchiveConfig(BaseModel):
    """How the log is kept as Parquet files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True  # False: what Kafka's retention deletes is gone
    folder: Path | None = None  # None: `archive` in the stack's home
    flush_s: float = Field(default=5.0, gt=0)  # how old a record may get before it is archived
    flush_mib: int = Field(default=32, ge=1)  # of values; as many again may be gathered while they are written
