"""`open_log`: where a command finds the log: at a configured broker, in the running stack, or in a stopped one's home.

A stopped stack's log is still on disk; its broker is started for the length of the command. Where there is an archive,
it is the log, and the broker adds what has happened since.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from infra.handover import take_over
from infra.home import Home
from infra.kafka.jars import fetch_jars
from infra.kafka.running import running_broker
from infra.prepare import runtime_home
from infra.run_file import RunFile
from infra.settings import Settings, archive_folder
from schemas.errors import FatalError, RejectedError, SettingsError
from streams.archive.manifest import MANIFEST
from streams.archive.reading import Archive
from streams.branches import branch_of, branches
from streams.config import KafkaConfig
from streams.query import LogQuery, kafka_source, new_records
from streams.recorded import Recorded
from streams.topics import TOPICS, Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The whole log at one moment: an archive, a broker, or both; `kafka` None: only what is archived."""

    kafka: KafkaConfig | None
    archive: Archive | None

    def now(self) -> "Log":
        """The log at this moment."""
        return replace(self, archive=None if self.archive is None else Archive.read(self.archive.folder))

    def branch(self, run: str) -> "Log":
        """What a run derived from this log (`nextstate rejudge --as RUN`), which only the broker has.

        Raises:  SettingsError: there is no such run.
        """
        known = self.runs()
        if self.kafka is None or run not in known:
            there = ", ".join(known) or "none yet"
            message = f"There is no run {run!r}: make it with nextstate rejudge --as {run}; there are: {there}."
            raise SettingsError(message)
        return Log(kafka=branch_of(self.kafka, run), archive=None)

    def runs(self) -> list[str]:
        """The names of the runs that were derived from this log.

        Raises:  BrokerUnavailableError; FatalError: the broker refuses.
        """
        return [] if self.kafka is None else branches(self.kafka)

    def query(self, topics: Sequence[Topic] = TOPICS) -> LogQuery:
        """Its views. Args: topics: what is read from the broker; views over others lack what is not archived."""
        sources = [] if self.kafka is None else [kafka_source(self.kafka, topics, archive=self.archive)]
        return LogQuery(None, sources, archive=self.archive)

    def records(self, topics: Sequence[Topic] = TOPICS) -> Iterator[Recorded]:
        """Every record, each partition in its order; what is archived comes first.

        Raises:  BrokerUnavailableError: the broker does not answer; RejectedError: the archive is damaged.
        """
        if self.archive is not None:
            yield from self.archive.records(topics)
        if self.kafka is not None:
            yield from new_records(self.kafka, topics, self.archive)


@contextmanager
def open_log(settings: Settings, archive: Path | None = None) -> Iterator[Log]:
    """The log, for as long as the `with` lasts.

    Args:    archive: read this archive alone, whoever's it is.
    Raises:  FatalError when no broker is configured and no stack has ever run here; RejectedError: no archive there.
    """
    if archive is not None:
        found = Archive.find(archive)
        if found is None:
            raise RejectedError(f"{archive} is no archive: it has no {MANIFEST}. Name the folder that has one.")
        yield Log(kafka=None, archive=found)
        return
    with open_broker(settings) as kafka:
        yield Log(kafka=kafka, archive=Archive.find(archive_folder(settings)))


@contextmanager
def open_broker(settings: Settings) -> Iterator[KafkaConfig]:
    """How to reach the broker, for as long as the `with` lasts.

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
    elif home.broker.exists():
        # A log that was restored and has never run has no settings of its own.
        last = take_over(home.settings_file) if home.settings_file.exists() else settings
        last = last.model_copy(update={"home": settings.home})  # the home may have moved
        with RunFile(home).held(), started_broker(last) as config:
            yield config
    else:
        raise FatalError(
            f"No stack has run in {settings.home}: start one with nextstate up, or set kafka.bootstrap_servers."
        )


@contextmanager
def started_broker(settings: Settings) -> Iterator[KafkaConfig]:
    """The embedded broker of a home where no stack runs, for as long as the `with` lasts."""
    home = Home(settings.home)
    jars = fetch_jars(runtime_home(settings).jars, lambda _: None)
    with running_broker(jars, home.broker, home.logs / "kafka.log", settings.kafka) as config:
        yield config
