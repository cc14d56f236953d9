"""`import_files`: every conversation of some files into the log, once.

Consumes files and the ids that are in the log; produces ActionTaken and NextStateObserved, and an EventRejected with
file and line for what cannot be used. An import that was broken off is simply started again: what is in the log is
passed over. From there the turns go the way of all others: the processors join, judge and build them, and the trainer
scores those that train.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from infra.imports.pace import Pace
from infra.imports.turns import STAGE, Target, Tokens, events_of, import_id
from schemas.clock import now_ms
from schemas.errors import BrokerUnavailableError, RejectedError
from schemas.events import ActionTaken, Event, EventRejected, NextStateObserved
from schemas.identity import digest_text
from schemas.messages import digest_message
from streams.config import KafkaConfig
from streams.formats.detect import Format, read_chats
from streams.formats.old_chats import BadLine, OldConversation, Place
from streams.lags import group_lags
from streams.producer import SEND_TIMEOUT_S, EventProducer, Placed
from streams.recorded import Recorded
from streams.topics import ACTIONS, NEXT_STATES, REJECTIONS, Topic

INSTANCE = "import-0"
READER = "processors"  # the consumer group that judges what is imported
IN_FLIGHT_BYTES = 16 * 1024 * 1024  # of records that may wait for Kafka at a time
PREVIEW_CHARS = 200
REPORT_EVERY_S = 2.0

_TOPIC_OF: dict[type[Event], Topic] = {
    ActionTaken: ACTIONS,
    NextStateObserved: NEXT_STATES,
    EventRejected: REJECTIONS,
}
WRITTEN = tuple(_TOPIC_OF.values())  # the topics that an import writes to


@dataclass(slots=True, kw_only=True)
class Tally:
    """What an import has done so far."""

    conversations: int = 0
    unchanged: int = 0  # of these, which added nothing: they were in the log, or nobody answers in them
    turns: int = 0  # recorded
    rejected: int = 0  # lines, and rests of conversations


@dataclass(frozen=True, slots=True, kw_only=True)
class Chats:
    """A file and its format."""

    path: Path
    kind: Format


def known_ids(records: Iterable[Recorded]) -> set[str]:
    """Ids of the events that an import could write again. Args: records: the log's, of `WRITTEN`."""
    return {record.event.id for record in records if record.event is not None}


async def import_files(
    config: KafkaConfig,
    job: "Import",
    files: Iterable[Chats],
    report: Callable[[str], None],
) -> Tally:
    """Imports every file, in order.

    Args:    report: told how far it is, every two seconds, and what it waits for.
    Raises:  NotTheFormatError: a file is damaged as a whole; what came before it is imported.
             BrokerUnavailableError: Kafka went away; start again, and it goes on from there.
    """
    producer = EventProducer(config, INSTANCE)
    pace = Pace(lambda: group_lags(config).get(READER, 0), report)
    window, reported_s = _Window(producer), time.monotonic()
    try:
        for file in files:
            for place, event in job.events(file):
                try:
                    await window.send(event)
                except RejectedError as error:
                    for _, rejection in job.reject(place, error, event.id):
                        await window.send(rejection)
                if isinstance(event, ActionTaken):
                    await pace.turn()
                if time.monotonic() - reported_s > REPORT_EVERY_S:
                    report(f"{file.path.name}: {told(job.tally)}")
                    reported_s = time.monotonic()
        await window.drain()
    finally:
        await producer.close()
    return job.tally


def told(tally: Tally) -> str:
    """What an import has done, in a line."""
    return (
        f"{tally.conversations:,} conversations read, {tally.turns:,} turns recorded; "
        f"{tally.unchanged:,} conversations added nothing; {tally.rejected:,} rejected"
    )


class Import:
    """Files as events; remembers every id, so that nothing is said twice. Args: known: of `known_ids`."""

    def __init__(self, known: set[str], target: Target, tokens: Tokens) -> None:
        self.tally = Tally()
        self._known = known
        self._target = target
        self._tokens = tokens

    def events(self, file: Chats) -> Iterator[tuple[Place, Event]]:
        """What a file adds to the log, and where it stands."""
        file_time_ms = int(file.path.stat().st_mtime * 1000)
        for found in read_chats(file.path, file.kind):
            if isinstance(found, BadLine):
                yield from self.reject(found.place, found.error, found.digest, preview=found.preview)
            else:
                yield from self._conversation(found, file_time_ms)

    def reject(
        self, place: Place, error: RejectedError, digest: str, *, preview: str = "", subject: str = ""
    ) -> Iterator[tuple[Place, Event]]:
        """The rejection of what stands at a place, once per `digest` of it. Args: subject: as the file says."""
        self.tally.rejected += 1
        rejection = replace(rejected(place, error, digest, self._target), value_preview=preview[:PREVIEW_CHARS])
        if self._target.subject is None:
            rejection = replace(rejection, subject=subject)
        if rejection.id not in self._known:
            self._known.add(rejection.id)
            yield place, rejection

    def _conversation(self, old: OldConversation, file_time_ms: int) -> Iterator[tuple[Place, Event]]:
        self.tally.conversations += 1
        num_known = len(self._known)
        try:
            for event in events_of(old, self._target, self._tokens, file_time_ms=file_time_ms, known=self._known):
                self._known.add(event.id)
                self.tally.turns += isinstance(event, ActionTaken)
                yield old.place, event
        except RejectedError as error:
            digest = digest_text(*(digest_message(one.message) for one in old.said))
            beginning = old.said[0].message.content
            yield from self.reject(old.place, error, digest, preview=beginning, subject=old.subject)
        self.tally.unchanged += len(self._known) == num_known


def rejected(place: Place, error: RejectedError, digest: str, target: Target) -> EventRejected:
    """The record of something in a file that cannot be used."""
    return EventRejected(
        id=import_id("reject", target.tenant, target.policy, digest, str(error)),
        time_ms=now_ms(),
        policy=target.policy,
        tenant=target.tenant,
        subject=target.subject or "",
        topic="",
        partition=-1,
        offset=-1,
        stage=STAGE,
        error=type(error).__name__,
        reason=f"{place.file}, line {place.line}: {error}",
        file=place.file,
        line=place.line,
    )


class _Window:
    """Records on their way to Kafka, as many as may be held in memory."""

    def __init__(self, producer: EventProducer) -> None:
        self._producer = producer
        self._sent: list[asyncio.Future[Placed]] = []
        self._num_bytes = 0

    async def send(self, event: Event) -> None:
        """Hand an event over; waits where too much is under way.

        Raises:  RejectedError: it cannot be recorded; BrokerUnavailableError.
        """
        topic = _TOPIC_OF[type(event)]
        record = self._producer.prepare(topic, event)
        self._sent.append(self._producer.send_nowait(topic, record))
        self._num_bytes += len(record.value)
        if self._num_bytes > IN_FLIGHT_BYTES:
            await self.drain()

    async def drain(self) -> None:
        """Wait until Kafka has all of it."""
        try:
            await asyncio.wait_for(asyncio.gather(*self._sent), SEND_TIMEOUT_S)
        except TimeoutError as error:
            message = f"Kafka did not take the import within {SEND_TIMEOUT_S:g} s; start it again once Kafka runs."
            raise BrokerUnavailableError(message) from error
        self._sent.clear()
        self._num_bytes = 0
