"""`Spans`: which part of each partition is still in the log, for topics are kept for different times.

Actions outlive the samples and batches that were derived from them. A replay derives those again, and finds nothing to
compare them with; that is no difference, but it is not silence either: they are counted as expired.
"""

from collections import Counter
from dataclasses import dataclass, field

from schemas.events import CheckpointPublished
from streams.placement import partition_of
from streams.recorded import Recorded
from streams.topics import BATCHES, SAMPLES

Partition = tuple[str, int]  # topic without prefix, number


@dataclass(slots=True)
class Spans:
    """Where the records of each partition begin and end."""

    ends: Counter[Partition] = field(default_factory=Counter)  # offset behind the last record
    _firsts: dict[Partition, tuple[int, int]] = field(default_factory=dict)  # offset and time of the first record
    _used: set[Partition] = field(default_factory=set)  # had records once, as a checkpoint that is kept for ever tells

    def add(self, record: Recorded) -> None:
        """A record that is there."""
        place = (record.topic, record.partition)
        self.ends[place] = max(self.ends[place], record.offset + 1)
        first = (record.offset, record.timestamp_ms)
        self._firsts[place] = min(self._firsts.get(place, first), first)

    def add_checkpoint(self, checkpoint: CheckpointPublished) -> None:
        """Its samples and batches were there once."""
        for topic in (SAMPLES, BATCHES):
            self._used.add((topic.name, partition_of(checkpoint.policy.encode(), topic.partitions)))

    def had(self, place: Partition, time_ms: int) -> bool:
        """Whether what was written there at a time would have left the log by now."""
        if place not in self._firsts:
            return place in self._used
        offset, first_ms = self._firsts[place]
        return offset > 0 and time_ms <= first_ms

    def has(self, place: Partition, offset: int) -> bool:
        """Whether an offset is not older than what has left the log."""
        return place in self._firsts and offset >= self._firsts[place][0]
