"""`read_all`, `follow` and `GroupConsumer`: three ways to read the log, each with a stated beginning and end.

* `read_all`: what is committed at the call, from the beginning or a time; then it ends. For rebuilding state.
* `follow`: from the beginning or the present, for ever. For watching.
* `GroupConsumer`: resumes at the group's committed offset. For work that must be done once.

All read only committed records, and yield a record that does not decode as an error in its place, never as an
exception: the stream goes on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from schemas.errors import BrokerUnavailableError, FatalError
from schemas.events import SubjectErased
from streams.asking import BrokerQuestions
from streams.client import CONSUMER, as_ours, open_client
from streams.config import KafkaConfig
from streams.erasures import Erasure, Erasures
from streams.recorded import Recorded, recorded
from streams.topics import ERASURES, Topic

__all__ = ["GroupConsumer", "Recorded", "follow", "read_all"]

_CHUNK_RECORDS = 1_000
_POLL_S = 0.2  # how long a cancelled `follow` may still hold its thread
ANSWER_TIMEOUT_S = 30.0
READER = {
    "group.id": "reader",  # librdkafka wants one; nothing is ever committed under it
    "enable.partition.eof": True,  # tells the end of a partition whose last offsets hold no event (transactions)
    "fetch.wait.max.ms": 50,  # how long an end may stay untold
}
_WORKER = {
    "session.timeout.ms": 6_000,  # a killed worker's partitions are taken over after this
    "max.poll.interval.ms": 30 * 60_000,  # one optimizer step may take as long
}

Place = tuple[str, int]  # broker's topic name, partition


def read_all(
    config: KafkaConfig,
    topics: Sequence[Topic],
    *,
    since_ms: int | None = None,
    after: Mapping[tuple[str, int], int] | None = None,
) -> Iterator[Recorded]:
    """Every record committed at the time of the call; in order within a partition, partitions interleaved.

    A transaction is seen from some milliseconds after its commit returns, when Kafka has marked every partition. Who
    rebuilds state after a crash calls `TransactionalProducer.init` first: it waits for the marks of what was committed.

    Args:    since_ms: only records that Kafka has taken at or after this time (epoch); after: first offsets to read, of
             some or all partitions, by (topic without prefix, number).
    Raises:  BrokerUnavailableError: no answer, or none for 30 s while reading; FatalError: a topic is missing.
    """
    ranges = _ranges(config, topics, since_ms)
    for (name, number), offset in (after or {}).items():
        place = (config.topic(name), number)
        if place in ranges:
            ranges[place] = (max(ranges[place][0], offset), ranges[place][1])
    return _read(config, {place: limits for place, limits in ranges.items() if limits[0] < limits[1]})


def read_erasures(config: KafkaConfig) -> Erasures:
    """What the broker says is erased. Raises: as `read_all`."""
    events = (record.event for record in read_all(config, [ERASURES]))
    return Erasures.of(Erasure.of(event) for event in events if isinstance(event, SubjectErased))


async def follow(
    config: KafkaConfig, topics: Sequence[Topic], *, from_beginning: bool = False
) -> AsyncIterator[Recorded]:
    """Every record from the beginning, or from the moment the iteration starts, without end. Cancel to stop.

    Raises:  BrokerUnavailableError: no answer at the start (later outages are waited out); FatalError: a topic is
             missing.
    """
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-follow")
    consumer = open_client(Consumer, config, CONSUMER, READER)
    try:
        ranges = await loop.run_in_executor(executor, _ranges, config, topics, None)
        starts = {place: begin if from_beginning else end for place, (begin, end) in ranges.items()}
        consumer.assign([TopicPartition(*place, start) for place, start in starts.items()])
        while True:
            for message in await loop.run_in_executor(executor, arrived, consumer):
                if is_record(message):
                    yield recorded(config, message)
    finally:
        executor.submit(consumer.close)  # after the poll that may be under way: one thread, in order
        executor.shutdown(wait=False)


class GroupConsumer:
    """A member of a consumer group that commits what it has finished. Blocking: for a worker's own thread.

    `instance` makes the membership static: a worker that restarts within 6 s gets its partitions back at once.
    """

    def __init__(self, config: KafkaConfig, group: str, topics: Sequence[Topic], instance: str) -> None:
        self._config = config
        self._topics = topics
        group_id = f"{config.topic_prefix}{group}"
        self._settings = {**_WORKER, "group.id": group_id, "group.instance.id": f"{group_id}-{instance}"}
        self._consumer: Any = None  # opened by the first use

    @property
    def raw(self) -> Any:
        """The librdkafka consumer, subscribed."""
        if self._consumer is None:
            self._consumer = open_client(Consumer, self._config, CONSUMER, self._settings)
            self._consumer.subscribe([self._config.topic(topic.name) for topic in self._topics])
        return self._consumer

    def poll(self, timeout_s: float) -> Recorded | None:
        """The next record; None where none came in time, also while the broker is away.

        Raises:  FatalError: a topic is missing, or another process uses this instance name.
        """
        message = self.raw.poll(timeout_s)
        return recorded(self._config, message) if message is not None and is_record(message) else None

    def num_left(self) -> int:
        """How many offsets lie between what the group has committed and the end; 0: it has done all there is.

        Raises:  BrokerUnavailableError, FatalError.
        """
        ranges = _ranges(self._config, self._topics, None)
        try:
            found = self.raw.committed([TopicPartition(*place) for place in ranges], ANSWER_TIMEOUT_S)
        except KafkaException as error:
            raise as_ours(error, f"Asking Kafka how far group {self._settings['group.id']!r} is") from error
        done = {(at.topic, at.partition): at.offset for at in found}  # negative: nothing committed
        return sum(max(end - max(done[place], begin), 0) for place, (begin, end) in ranges.items())

    def commit(self, done: Recorded) -> None:
        """The group resumes after this record.

        Raises:  BrokerUnavailableError: not known to be committed.
        """
        try:
            self.raw.commit(offsets=[self.after(done)], asynchronous=False)
        except KafkaException as error:
            raise as_ours(error, f"Committing offset {done.offset} of {done.topic!r}") from error

    def rewind(self, undone: Recorded) -> None:
        """Read this record again at the next poll."""
        self.raw.seek(TopicPartition(self._config.topic(undone.topic), undone.partition, undone.offset))

    def after(self, done: Recorded) -> TopicPartition:
        """The position behind a record, as Kafka commits it."""
        return TopicPartition(self._config.topic(done.topic), done.partition, done.offset + 1)

    def close(self) -> None:
        """Leave; a static member's partitions wait for its return."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def _read(config: KafkaConfig, left: dict[Place, tuple[int, int]]) -> Iterator[Recorded]:
    if not left:
        return
    consumer = open_client(Consumer, config, CONSUMER, READER)
    try:
        consumer.assign([TopicPartition(*place, begin) for place, (begin, _) in left.items()])
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while left:
            for message in arrived(consumer):
                place = (message.topic(), message.partition())
                holds_record = is_record(message)
                if place not in left or not (holds_record or is_end(message)):
                    continue
                deadline = time.monotonic() + ANSWER_TIMEOUT_S
                end = left[place][1]
                if not holds_record or message.offset() >= end - 1:
                    del left[place]
                if holds_record and message.offset() < end:
                    yield recorded(config, message)
            if time.monotonic() > deadline:
                raise BrokerUnavailableError(
                    f"Kafka sent nothing for {ANSWER_TIMEOUT_S:g} s with {len(left)} unread partitions."
                )
    finally:
        consumer.close()


def _ranges(config: KafkaConfig, topics: Sequence[Topic], since_ms: int | None) -> dict[Place, tuple[int, int]]:
    """First offset to read and the end (exclusive) of what is committed, per partition."""
    places = [(config.topic(topic.name), number) for topic in topics for number in range(topic.partitions)]
    questions = BrokerQuestions(config)
    refuse_missing(questions, places)
    admin = questions.client
    ends = offsets_at(admin, places, OffsetSpec.latest())
    if since_ms is None:
        begins = offsets_at(admin, places, OffsetSpec.earliest())
    else:
        found = offsets_at(admin, places, OffsetSpec.for_timestamp(since_ms))
        begins = {place: offset if offset >= 0 else ends[place] for place, offset in found.items()}
    return {place: (begins[place], ends[place]) for place in places}


def refuse_missing(questions: BrokerQuestions, places: Sequence[Place]) -> None:
    """Raises FatalError where a topic is not on the broker, BrokerUnavailableError without an answer."""
    existing = questions.topics(ANSWER_TIMEOUT_S)
    for name, _ in places:
        if name not in existing:
            message = f"Kafka has no topic {name!r}; `nextstate up` creates it."
            raise FatalError(message)


def offsets_at(admin: Any, places: Sequence[Place], spec: Any, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[Place, int]:
    """The offset that `spec` asks for, per partition; of committed records only.

    Raises:  BrokerUnavailableError: no answer in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        futures = admin.list_offsets(
            {TopicPartition(*place): spec for place in places},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=timeout_s,
        )
        try:
            return {(at.topic, at.partition): future.result().offset for at, future in futures.items()}
        except KafkaException as error:
            ours = as_ours(error, "Asking Kafka where its topics begin and end")
            if not isinstance(ours, BrokerUnavailableError) or time.monotonic() > deadline:
                raise ours from error
            time.sleep(_POLL_S)  # a partition is moving to another leader


def arrived(consumer: Any) -> list[Any]:
    """What has arrived: at most `_POLL_S` of waiting for the first message, none for more."""
    first = consumer.poll(_POLL_S)
    return [] if first is None else [first, *consumer.consume(_CHUNK_RECORDS, 0)]


def is_end(message: Any) -> bool:
    """Whether it says that a partition has no more for now; errors that pass do not."""
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's name for it


def is_record(message: Any) -> bool:
    """False for the end of a partition and for errors that pass.

    Raises:  FatalError: errors that do not pass.
    """
    error = message.error()
    if error is None:
        return True
    if not is_end(message):
        ours = as_ours(error, "Reading from Kafka")
        if not isinstance(ours, BrokerUnavailableError):
            raise ours
    return False
