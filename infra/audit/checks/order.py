"""`order`: within a partition, the numbers of one producer's life rise.

Kafka keeps the order of an idempotent producer, so a number that falls is a record that was moved. Only what waited in
a recorder's spool may come behind later numbers; it was handed to Kafka later, and its time says so.
"""

from collections import defaultdict
from collections.abc import Mapping

from infra.audit.check import Check
from infra.audit.facts import Line
from infra.audit.index import LogIndex
from infra.audit.report import Tally
from streams.topics import ACTIONS, FEEDBACK, NEXT_STATES, OUTCOMES

_SPOOLED = frozenset(topic.name for topic in (ACTIONS, NEXT_STATES, FEEDBACK, OUTCOMES))  # what recorders write


def run(log: LogIndex, tally: Tally) -> None:
    """Each life in each partition, by offsets. Repeats do not count: only the first record of a number is known."""
    for instance, life in log.lives.items():
        for lines in _by_partition(life.numbers).values():
            highest, above = -1, None
            for number, line in lines:
                tally.num_checked += 1
                if above is None or number > highest:
                    highest, above = number, line
                elif line.topic in _SPOOLED and line.timestamp_ms >= above.timestamp_ms:
                    tally.counted["delivered late, from a spool"] += 1
                else:
                    what = f"Number {number} of {instance} lies behind {highest}, at offset {above.offset}."
                    tally.fail(line, what)


def _by_partition(numbers: Mapping[int, Line]) -> Mapping[tuple[str, int], list[tuple[int, Line]]]:
    found: defaultdict[tuple[str, int], list[tuple[int, Line]]] = defaultdict(list)
    for number, line in numbers.items():
        found[line.topic, line.partition].append((number, line))
    for lines in found.values():
        lines.sort(key=lambda pair: pair[1].offset)
    return found


CHECK = Check(
    name="order",
    promise="In a partition, a producer's numbers rise.",
    blind="The order of two producers or partitions. Moves within one millisecond of what may have been spooled.",
    run=run,
)
