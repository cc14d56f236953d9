"""`numbers`: each life of a producer numbers its records from 0 without a gap, so a missing number is a lost record.

Three gaps are none: what was on its way when the producer ended was acknowledged to nobody; what retention deleted was
there; and a superseded record of `current-policies` goes by compaction. An aborted transaction leaves no gap, because
its numbers are used again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from infra.audit.check import Check
from infra.audit.facts import Line
from infra.audit.index import UNDER_WAY_MS, LogIndex
from infra.audit.report import Tally
from schemas.events import CheckpointPublished
from streams.topics import CHECKPOINTS, CURRENT_POLICIES, REJECTIONS, SKIPS

_UNDER_WAY = (
    "numbers missing so shortly before their producer ended, or now, that they may never have been acknowledged"
)
_DELETED = "numbers missing from before what retention or an erasure has left"
_COMPACTED = "numbers of superseded records of current-policies, which compaction removes"


@dataclass(frozen=True, slots=True)
class _Gap:
    first: int
    last: int
    before: Line | None  # None: the life begins with the gap
    after: Line

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"Number {self.first}" if len(self) == 1 else f"Numbers {self.first} to {self.last}"


def run(log: LogIndex, tally: Tally) -> None:
    """Look for gaps in each life, and for numbers that two events have."""
    topics_of = _topics_by_producer(log)
    for instance, life in log.lives.items():
        tally.num_checked += len(life.numbers)
        for number, line in life.clashes:
            tally.fail(
                line, f"Number {number} of {instance} is that of another event, {life.numbers[number].event_id}."
            )
        ended_ms = max(line.timestamp_ms for line in life.numbers.values())
        for gap in _gaps(life.numbers):
            excuse = _excuse(gap, ended_ms, topics_of[_producer(instance)], log)
            if excuse is None:
                place = f"after {_place(gap.before)}" if gap.before else "at its beginning"
                tally.fail(gap.after, f"{gap} of {instance} missing: {place} and before this record.")
            else:
                tally.hidden[excuse] += len(gap)


def _gaps(numbers: Mapping[int, Line]) -> Iterator[_Gap]:
    expected, before = 0, None
    for number in sorted(numbers):
        if number > expected:
            yield _Gap(expected, number - 1, before, numbers[number])
        expected, before = number + 1, numbers[number]


def _excuse(gap: _Gap, ended_ms: int, topics: frozenset[str], log: LogIndex) -> str | None:
    """Why a gap may be no loss; None: it is one."""
    if ended_ms - gap.after.timestamp_ms <= UNDER_WAY_MS:
        return _UNDER_WAY
    if _is_compacted(gap, log):
        return _COMPACTED
    since_ms = gap.before.timestamp_ms if gap.before else -(2**63)
    return _DELETED if log.horizon.may_have_lost_any(topics, since_ms) else None


def _is_compacted(gap: _Gap, log: LogIndex) -> bool:
    """A trainer sends each checkpoint to `current-policies` right after `checkpoints` (trainer/publish.py)."""
    if len(gap) > 1 or gap.before is None or gap.before.topic != CHECKPOINTS.name:
        return False
    published = log.of(CheckpointPublished, CHECKPOINTS).get(gap.before.event_id)
    current = log.of(CheckpointPublished, CURRENT_POLICIES).values()
    return published is not None and any(
        newer.event.policy == published.event.policy and newer.event.version > published.event.version
        for newer in current
    )


def _topics_by_producer(log: LogIndex) -> Mapping[str, frozenset[str]]:
    """Where each producer may write: what retention deletes there may be its.

    It is what is left of all its lives, and the two topics where one writes so rarely that nothing may be left.
    """
    found: defaultdict[str, set[str]] = defaultdict(lambda: {REJECTIONS.name, SKIPS.name})
    for instance, life in log.lives.items():
        found[_producer(instance)].update(line.topic for line in life.numbers.values())
    return {producer: frozenset(topics) for producer, topics in found.items()}


def _producer(instance: str) -> str:
    return instance.rpartition("/")[0]


def _place(line: Line) -> str:
    return f"{line.topic}/{line.partition}@{line.offset}"


CHECK = Check(
    name="numbers",
    promise="A producer's records are numbered from 0 without a gap.",
    blind="A life's last records: nothing follows them. Producers without stamps.",
    run=run,
)
