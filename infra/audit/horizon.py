"""`Horizon`: what retention or an erasure may have deleted, so that its absence is not held against the log.

Owns the first record that is left of each partition. Something that was written at a time may be gone only where all
three hold: the partition's beginning is gone, the time lies before the first record that is left, and the time is
longer ago than the topic keeps records. Nothing is older than the log, whose first run is kept for ever. An erasure
takes what is about a person, from the beginning to its own time; whose is gone with it, so it may be anything of then.
"""

from infra.audit.facts import Line
from streams.placement import partition_of
from streams.topics import (
    BATCHES,
    BY_NAME,
    CHECKPOINTS,
    CURRENT_POLICIES,
    ERASURES,
    FOR_EVER_MS,
    PROMOTIONS,
    RELOADS,
    RUNS,
    Topic,
)

_NEVER_MS = -(2**63)
# Not about a person: an erasure deletes nothing here; batches only lose words.
_OF_NOBODY = (BATCHES, CHECKPOINTS, CURRENT_POLICIES, PROMOTIONS, RELOADS, RUNS, ERASURES)


class Horizon:
    """Tell it of every record; ask it when all are told. Args: now_ms: when the log was read."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._erased_until_ms = _NEVER_MS
        self._first: dict[tuple[str, int], Line] = {}  # by topic and partition

    def note(self, line: Line) -> None:
        """One more record."""
        place = (line.topic, line.partition)
        if place not in self._first or line.offset < self._first[place].offset:
            self._first[place] = line

    def note_erasure(self, until_ms: int) -> None:
        """What is about a person, up to this time, is gone."""
        self._erased_until_ms = max(self._erased_until_ms, until_ms)

    def may_have_lost(self, topic: Topic, since_ms: int, key: str | None = None) -> bool:
        """Whether retention or an erasure may have deleted a record of this topic from `since_ms` or later.

        Args:    key: of the record, by which its partition is known; None: it may have been in any.
        """
        partitions = range(topic.partitions) if key is None else (partition_of(key.encode(), topic.partitions),)
        since_ms = max(since_ms, self._birth_ms())
        return any(since_ms < self._deleted_before_ms(topic, number) for number in partitions)

    def may_have_lost_any(self, topics: frozenset[str], since_ms: int) -> bool:
        """The same of several topics, by name."""
        return any(self.may_have_lost(BY_NAME[name], since_ms) for name in topics)

    def _birth_ms(self) -> int:
        first_run = self._first.get((RUNS.name, 0))
        return first_run.timestamp_ms if first_run is not None and first_run.offset == 0 else _NEVER_MS

    def _deleted_before_ms(self, topic: Topic, partition: int) -> int:
        """Records from before this time may be gone; `_NEVER_MS`: none."""
        erased_ms = _NEVER_MS if topic in _OF_NOBODY else self._erased_until_ms
        return max(erased_ms, self._outlived_ms(topic, partition))

    def _outlived_ms(self, topic: Topic, partition: int) -> int:
        if topic.compacted or topic.retention_ms == FOR_EVER_MS:
            return _NEVER_MS
        outlived_ms = self._now_ms - topic.retention_ms
        first = self._first.get((topic.name, partition))
        if first is None:  # empty: never used, or all of it is gone
            return outlived_ms
        return _NEVER_MS if first.offset == 0 else min(first.timestamp_ms, outlived_ms)
