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

from schemas.errors import BrokerUnavailableError
from streams.archive.manifest import Manifest
from streams.client import CONSUMER, as_ours, open_client
from streams.config import KafkaConfig
from streams.consumer import ANSWER_TIMEOUT_S, READER, offsets_at, refuse_missing
from streams.recorded import Recorded, recorded
from streams.topics import Topic

_CHUNK_RECORDS = 2_000

Partition = tuple[str, int]  # topic without prefix, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where reading a partition begins, and what Kafka no longer had by then."""

    topic_id: str
    offset: int
    lost: tuple[int, int] | None = None  # first and last offset that were deleted unread


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some records, and the next offset of each partition that moved. `at_end`: there was nothing more to read."""

    records: list[Recorded] = field(default_factory=list)
    positions: dict[Partition, int] = field(default_factory=dict)
    at_end: bool = False


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


def starts(
    config: KafkaConfig, topics: Sequence[Topic], known: Mapping[Partition, tuple[str, int]]
) -> dict[Partition, Start]:
    """Where to read on. Args: known: (topic id, next offset) of partitions that were read before.

    Raises:  BrokerUnavailableError: no answer; FatalError: a topic is missing.
    """
    admin = open_client(AdminClient, config)
    places = {
        (config.topic(one.name), number): (one.name, number) for one in topics for number in range(one.partitions)
    }
    refuse_missing(admin, list(places))
    ids = topic_ids(config, topics)
    firsts = offsets_at(admin, list(places), OffsetSpec.earliest())
    return {ours: _start(ids[ours[0]], firsts[place], known.get(ours)) for place, ours in places.items()}


def _start(topic_id: str, first: int, known: tuple[str, int] | None) -> Start:
    if known is None or known[0] != topic_id:
        return Start(topic_id=topic_id, offset=first)
    offset = known[1]
    lost = (offset, first - 1) if offset < first else None
    return Start(topic_id=topic_id, offset=max(offset, first), lost=lost)


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
        self._ends_unseen = set(offsets)
        self._partitions = frozenset(offsets)
        self._consumer = open_client(Consumer, config, CONSUMER, READER)
        self._consumer.assign(
            [TopicPartition(config.topic(name), number, at) for (name, number), at in offsets.items()]
        )

    def read(self, timeout_s: float) -> Chunk:
        """What has arrived by now; waits for something up to `timeout_s`.

        Raises:  FatalError: a topic is gone; BrokerUnavailableError never: an outage is an empty chunk.
        """
        deadline = time.monotonic() + timeout_s
        chunk = Chunk()
        while not chunk.positions and (left_s := deadline - time.monotonic()) > 0:
            first = self._consumer.poll(left_s)
            if first is not None:
                self._take([first, *self._consumer.consume(_CHUNK_RECORDS, 0)], chunk)
        return Chunk(records=chunk.records, positions=chunk.positions, at_end=not self._ends_unseen)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _take(self, messages: Iterable[Any], chunk: Chunk) -> None:
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                self._pass_over(error)
                continue
            place = (message.topic().removeprefix(self._config.topic_prefix), message.partition())
            if error is None:
                self._ends_unseen.add(place)
                chunk.records.append(recorded(self._config, message))
                chunk.positions[place] = message.offset() + 1
            else:  # behind the last record may be marks of transactions, which no reader sees
                self._ends_unseen.discard(place)
                chunk.positions[place] = message.offset()

    def _pass_over(self, error: KafkaError) -> None:
        self._ends_unseen |= self._partitions  # who knows what has arrived since
        ours = as_ours(error, "Reading from Kafka")
        if not isinstance(ours, BrokerUnavailableError):
            raise ours
