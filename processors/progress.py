"""`Progress`: up to which offset every record of a partition is done, so that a crash loses none.

Consumes what is delivered and what stages have finished, in any order; produces the offsets that may be committed. Kept
here and not left to Faust, whose own bookkeeping commits past one unfinished record at the head of a partition, and
counts records that it dropped in a rebalance as done. A hole in what is delivered holds the commit back: after a
restart those records are delivered again, or are known not to exist.
"""

import logging
from dataclasses import dataclass, field

from streams.recorded import Recorded

_LOGGER = logging.getLogger(__name__)

Partition = tuple[str, int]  # topic without prefix, number


@dataclass(slots=True)
class _Span:
    first: int  # lowest offset delivered
    next: int  # every offset from `first` up to here is done
    highest: int  # delivered
    done: set[int] = field(default_factory=set)  # at or after `next`


class Progress:
    """What is delivered and done since partitions were assigned."""

    def __init__(self) -> None:
        self._spans: dict[Partition, _Span] = {}
        self._committed: dict[Partition, int] = {}

    def deliver(self, record: Recorded) -> None:
        """A record has been delivered, perhaps again."""
        offset = record.offset
        span = self._spans.setdefault((record.topic, record.partition), _Span(offset, offset, offset - 1))
        if offset < span.first:  # delivery has gone back behind where it began
            span.done.update(range(span.first, span.next))
            span.first = span.next = offset
        if offset > span.highest + 1:
            hole = (record.topic, record.partition, span.highest + 1, offset - 1)
            _LOGGER.warning("%s/%d: offsets %d to %d were not delivered; they hold back the commit", *hole)
        span.highest = max(span.highest, offset)

    def finish(self, record: Recorded) -> None:
        """A delivered record is done."""
        span = self._spans[record.topic, record.partition]
        if record.offset >= span.next:
            span.done.add(record.offset)
        while span.next in span.done:
            span.done.remove(span.next)
            span.next += 1

    def committable(self) -> dict[Partition, int]:
        """Offsets at which to resume, where they have moved since `committed` was told."""
        return {
            key: span.next
            for key, span in self._spans.items()
            if span.next > span.first and self._committed.get(key) != span.next
        }

    def committed(self, offsets: dict[Partition, int]) -> None:
        """Kafka knows of these."""
        self._committed.update(offsets)

    def clear(self) -> None:
        """Partitions have moved: nothing delivered before counts."""
        self._spans.clear()
        self._committed.clear()
