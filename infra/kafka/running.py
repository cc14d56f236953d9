"""`running_broker`: an embedded broker for the length of a `with`, with the topics of this release."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.kafka.broker import Broker
from infra.ports import choose_port
from infra.process import Process
from streams.admin import create_topics, wait_for_broker
from streams.config import KafkaConfig

START_S = 60.0


@contextmanager
def running_broker(
    jars: tuple[Path, ...], folder: Path, log_file: Path, kafka: KafkaConfig | None = None
) -> Iterator[KafkaConfig]:
    """Starts a broker on free ports, and stops it at the end.

    Args:    jars: of infra/kafka/jars.py; folder: of its records, which stay there; kafka: how topics are named.
    Raises:  MissingRuntimeError: Java cannot be run; BrokerUnavailableError: it did not start in time.
    """
    broker = Broker(jars=jars, folder=folder, port=choose_port(None, ""), controller_port=choose_port(None, ""))
    broker.prepare()
    process = Process.start("kafka", broker.command(), log_file, {})
    try:
        config = (kafka or KafkaConfig()).model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        wait_for_broker(config, START_S)
        create_topics(config)  # an older release had fewer
        yield config
    finally:
        process.stop()
