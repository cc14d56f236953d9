"""`MemoryLog` and `MemoryTable`: a log and a table in memory, for a whole pipeline in one process.

Every record is encoded, placed and decoded as on the broker, so what does not survive the wire does not survive here
either. Owns the records; nothing is kept when the process ends.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from schemas.clock import Clock, now_ms
from schemas.events import BatchSealed, Event, SampleBuilt
from streams.codec import encode, encode_batch
from streams.config import KafkaConfig
from streams.placement import partition_of
from streams.recorded import Recorded, record_of
from streams.topics import TOPIC_OF, TOPICS, Topic

PRODUCER = "memory"
_CONFIG = KafkaConfig()


class Written(Protocol):
    """What a stage wants to have written (`processors.emit.Emission`)."""

    @property
    def event(self) -> Event:
        """The event."""

    @property
    def samples(self) -> Sequence[SampleBuilt]:
        """Of a batch, its samples."""


class MemoryLog:
    """Every topic, with real records: what a gateway records to, and what stages emit to and read back from."""

    healthy = True
    spooled_bytes = 0

    def __init__(self, clock: Clock = now_ms) -> None:
        self.records: dict[str, list[Recorded]] = {topic.name: [] for topic in TOPICS}
        self._clock = clock
        self._next_offsets: Counter[tuple[str, int]] = Counter()

    def append(self, event: Event, samples: Sequence[SampleBuilt] = ()) -> Recorded:
        """Write an event to its topic. Args: samples: those of a batch, in its order."""
        topic = TOPIC_OF[type(event)]
        if isinstance(event, BatchSealed):
            encoded = encode_batch(event, samples, PRODUCER)
        else:
            encoded = encode(topic, event, PRODUCER)
        return self.append_raw(topic, encoded.key, encoded.value, encoded.headers)

    def append_raw(
        self, topic: Topic, key: bytes, value: bytes, headers: list[tuple[str, bytes]] | None = None
    ) -> Recorded:
        """Write bytes, whatever they are."""
        partition = partition_of(key, topic.partitions)
        record = record_of(
            _CONFIG,
            topic=topic.name,
            partition=partition,
            offset=self._next_offsets[topic.name, partition],
            timestamp_ms=self._clock(),
            headers=headers,
            key=key,
            value=value,
        )
        self._next_offsets[topic.name, partition] += 1
        self.records[topic.name].append(record)
        return record

    async def record(self, topic: Topic, event: Event) -> Literal["kafka", "spool"]:  # noqa: ARG002 - the event knows it
        """What `streams.recorder.Recorder` does: make an event safe."""
        self.append(event)
        return "kafka"

    async def emit(self, emissions: Sequence[Written]) -> None:
        """What `processors.emit.Emitter` does: write all."""
        await asyncio.sleep(0)  # as on the broker, others may run meanwhile
        for emission in emissions:
            self.append(emission.event, emission.samples)

    def read(self, topics: Sequence[Topic], since_ms: int | None) -> Iterator[Event]:
        """Events of some topics, from a time on (`processors.recall.ReadLog`)."""
        for topic in topics:
            for record in self.records[topic.name]:
                if record.event is not None and (since_ms is None or record.timestamp_ms >= since_ms):
                    yield record.event

    def events(self, topic: Topic) -> list[Event]:
        """Everything in a topic that is an event."""
        return list(self.read((topic,), None))


class MemoryTable:
    """A durable map (`processors.open_turns.Table`) that is as durable as the process."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self._partitions: dict[str, int] = {}

    def get(self, key: str) -> bytes | None:
        """The value of a key."""
        return self.rows.get(key)

    def items(self) -> list[tuple[str, bytes]]:
        """Every row."""
        return list(self.rows.items())

    async def put(self, partition: int, key: str, value: bytes | None) -> None:
        """Set a row, None deletes it.

        Raises:  ValueError: the row lies in another partition, where a real table would not find it again.
        """
        if self._partitions.setdefault(key, partition) != partition:
            raise ValueError(f"Row {key!r} lies in partition {self._partitions[key]}, not in {partition}.")
        if value is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = value
