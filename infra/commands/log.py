"""`open_log`: where a command finds the log: in the stack that runs in its home, or at the configured broker."""

from infra.home import Home
from infra.run_file import RunFile
from infra.settings import Settings
from schemas.errors import FatalError
from streams.config import KafkaConfig


def open_log(settings: Settings) -> KafkaConfig:
    """How to reach the log.

    Raises:  FatalError when no stack runs here and no broker is configured.
    """
    if settings.kafka.bootstrap_servers is not None:
        return settings.kafka
    state = RunFile(Home(settings.home)).read()
    if state is None:
        raise FatalError(
            f"No stack runs in {settings.home}: start one with nextstate up, or set kafka.bootstrap_servers."
        )
    return settings.kafka.model_copy(
        update={"bootstrap_servers": state.bootstrap_servers, "topic_prefix": state.topic_prefix}
    )
