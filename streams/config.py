"""How to reach the log: the `[kafka]` table of the settings."""

from pydantic import BaseModel, ConfigDict


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
