"""`open_log`: where a command finds the log: at a configured broker, in the running stack, or in a stopped one's home.

A stopped stack's log is still on disk; its broker is started for the length of the command.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from infra.handover import take_over
from infra.home import Home
from infra.kafka.broker import Broker
from infra.kafka.jars import fetch_jars
from infra.ports import choose_port
from infra.prepare import runtime_home
from infra.process import Process
from infra.run_file import RunFile
from infra.settings import Settings
from schemas.errors import FatalError, SettingsError
from streams.admin import wait_for_broker
from streams.branches import branch_of, branches
from streams.config import KafkaConfig

BROKER_START_S = 60.0


@contextmanager
def open_log(settings: Settings) -> Iterator[KafkaConfig]:
    """How to reach the log, for as long as the `with` lasts.

    Raises:  FatalError when no broker is configured and no stack has ever run here.
    """
    home = Home(settings.home)
    state = RunFile(home).read()
    if settings.kafka.bootstrap_servers is not None:
        yield settings.kafka
    elif state is not None:
        yield settings.kafka.model_copy(
            update={"bootstrap_servers": state.bootstrap_servers, "topic_prefix": state.topic_prefix}
        )
    elif home.broker.exists() and home.settings_file.exists():
        with RunFile(home).held(), _revived(home) as config:
            yield config
    else:
        raise FatalError(
            f"No stack has run in {settings.home}: start one with nextstate up, or set kafka.bootstrap_servers."
        )


@contextmanager
def _revived(home: Home) -> Iterator[KafkaConfig]:
    """The broker of a stopped stack, running again."""
    last = take_over(home.settings_file)
    broker = Broker(
        jars=fetch_jars(runtime_home(last).jars, lambda _: None),
        folder=home.broker,
        port=choose_port(None, ""),
        controller_port=choose_port(None, ""),
    )
    broker.prepare()
    process = Process.start("kafka", broker.command(), home.logs / "kafka.log", {})
    try:
        config = last.kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        wait_for_broker(config, BROKER_START_S)
        yield config
    finally:
        process.stop()


def existing_branch(config: KafkaConfig, run: str) -> KafkaConfig:
    """The branch of a run (`nextstate rejudge --as RUN`).

    Raises:  SettingsError: there is none.
    """
    branch, known = branch_of(config, run), branches(config)
    if run not in known:
        there = ", ".join(known) or "none yet"
        raise SettingsError(f"There is no run {run!r}: make it with nextstate rejudge --as {run}; there are: {there}.")
    return branch
