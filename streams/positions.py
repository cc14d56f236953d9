"""`PositionedReader`: reads the whole log on from positions that its user keeps, for work whose progress is its output.

Owns a consumer that is in no group. Consumes positions, produces chunks of records and the positions behind them; a
position says which topic it is an offset of, since a topic that is deleted and made again counts from 0.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.errors import BrokerUnavailableError, NextstateError
from streams.archive.manifest import Manifest, Position
from streams.asking import BrokerQuestions
from streams.client import CONSUMER, RestartNeededError, as_ours, open_client
from streams.config import KafkaConfig
from streams.consumer import ANSWER_TIMEOUT_S, READER, offsets_at, refuse_missing
from streams.recorded import Recorded, recorded
from streams.topics import Topic

_CHUNK_RECORDS = 500  # as events they fit a processor's cache; 2,000 do not, and take a third longer each
_END_TIMEOUT_S = 5.0
_NO_JUMPS = {"auto.offset.reset": "error"}  # a position that Kafka has not got must be looked at, not replaced
_JUMPS = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001 - librdkafka's name

Partition = tuple[str, int]  # topic without prefix, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where reading a partition begins, and what Kafka no longer had by then."""

    topic_id: str
    offset: int
    epoch: int  # how often its offsets have begun anew
    lost: tuple[int, int] | None = None  # first and last offset that were deleted unread


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some records, and the next offset of each partition that moved."""

    records: list[Recorded] = field(default_factory=list)
    positions: dict[Partition, int] = field(default_factory=dict)


def topic_ids(config: KafkaConfig, topics: Iterable[Topic]) -> dict[str, str]:
    """Kafka's own ids of topics, by our names.

    Raises:  BrokerUnavailableError: no answer; FatalError: a topic is missing.
    """
    admin = open_client(AdminClient, config)
    names = {config.topic(topic.name): topic.name for topic in topics}
    if not names:
        return {}
    try:
        found = admin.describe_topics(TopicCollection(list(names)), request_timeout=ANSWER_TIMEOUT_S)
        return {names[name]: str(future.result().topic_id) for name, future in found.items()}
    except KafkaException as error:
        raise as_ours(error, "Asking Kafka about its topics") from error


def starts(config: KafkaConfig, topics: Sequence[Topic], known: Mapping[Partition, Position]) -> dict[Partition, Start]:
    """Where to read on. Args: known: where reading ended before.

    Raises:  BrokerUnavailableError: no answer; FatalError: a topic is missing.
    """
    questions = BrokerQuestions(config)
    admin = questions.client
    places = {
        (config.topic(one.name), number): (one.name, number) for one in topics for number in range(one.partitions)
    }
    refuse_missing(questions, list(places))
    ids = topic_ids(config, topics)
    firsts = offsets_at(admin, list(places), OffsetSpec.earliest())
    ends = offsets_at(admin, list(places), OffsetSpec.latest())
    return {ours: _start(ids[ours[0]], firsts[place], ends[place], known.get(ours)) for place, ours in places.items()}


def _start(topic_id: str, first: int, end: int, known: Position | None) -> Start:
    if known is None:
        return Start(topic_id=topic_id, offset=first, epoch=0)
    if known.topic_id != topic_id or known.offset > end:  # made again, or cut: a power failure took what Kafka had
        return Start(topic_id=topic_id, offset=first, epoch=known.epoch + 1)
    lost = (known.offset, first - 1) if known.offset < first else None
    return Start(topic_id=topic_id, offset=max(known.offset, first), epoch=known.epoch, lost=lost)


def behind(config: KafkaConfig, topics: Sequence[Topic], manifest: Manifest) -> dict[Partition, int]:
    """The first offsets that an archive does not have; a topic that was made again since then begins anew.

    Raises:  BrokerUnavailableError: no answer; FatalError: a topic is missing.
    """
    if not manifest.positions:
        return {}
    ids = topic_ids(config, topics)
    known = (at for at in manifest.positions if ids.get(at.topic) == at.topic_id)
    return {(at.topic, at.partition): at.offset for at in known}


class PositionedReader:
    """Reads every committed record from some offsets on. Blocking; not for several threads."""

    def __init__(self, config: KafkaConfig, offsets: Mapping[Partition, int]) -> None:
        """Opens the consumer. Args: offsets: where to begin, of every partition to read."""
        self._config = config
        self._offsets = dict(offsets)
        self._admin = open_client(AdminClient, config)
        self._consumer = open_client(Consumer, config, CONSUMER, READER, _NO_JUMPS)
        self._consumer.assign(
            [TopicPartition(config.topic(name), number, at) for (name, number), at in offsets.items()]
        )

    def read(self, timeout_s: float) -> Chunk:
        """What has arrived by now; waits for something up to `timeout_s`.

        Raises:  FatalError: a topic is gone; RestartNeededError: its next records are, look where to begin again;
                 BrokerUnavailableError never: an outage is an empty chunk.
        """
        deadline = time.monotonic() + timeout_s
        chunk = Chunk()
        while not chunk.positions and (left_s := deadline - time.monotonic()) > 0:
            first = self._consumer.poll(left_s)
            if first is not None:
                self._take([first, *self._consumer.consume(_CHUNK_RECORDS, 0)], chunk)
        self._offsets.update(chunk.positions)
        return chunk

    def is_at_end(self) -> bool:
        """Whether everything is read that Kafka has; False also where it does not answer."""
        places = {(self._config.topic(name), number): (name, number) for name, number in self._offsets}
        try:
            ends = offsets_at(self._admin, list(places), OffsetSpec.latest(), _END_TIMEOUT_S)
        except NextstateError:  # `read` says what is wrong
            return False
        return all(self._offsets[ours] >= ends[place] for place, ours in places.items())

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _take(self, messages: Iterable[Any], chunk: Chunk) -> None:
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                _pass_over(error)
                continue
            place = (message.topic().removeprefix(self._config.topic_prefix), message.partition())
            if error is None:
                chunk.records.append(recorded(self._config, message))
                chunk.positions[place] = message.offset() + 1
            else:  # behind the last record may be marks of transactions, which no reader sees
                chunk.positions[place] = message.offset()


def _pass_over(error: KafkaError) -> None:
    if error.code() in _JUMPS:
        message = f"Kafka has not got the next records any more ({error.str()}); a new start looks for what it has."
        raise RestartNeededError(message)
    ours = as_ours(error, "Reading from Kafka")
    if not isinstance(ours, BrokerUnavailableError):
        raise ours
