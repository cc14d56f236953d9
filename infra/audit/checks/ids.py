"""`ids`: the first record of an id wins, and every later one says the same (design promise 2)."""

from infra.audit.check import Check
from infra.audit.index import LogIndex
from infra.audit.report import Tally


def run(log: LogIndex, tally: Tally) -> None:
    """Delivery is at least once, so repeats are counted; only a repeat that says something else is a failure."""
    tally.num_checked = log.num_records.total() - len(log.unreadable)
    tally.counted["repeats"] += len(log.repeats)
    for first, line in log.conflicts:
        place = f"{first.topic}/{first.partition}@{first.offset}"
        tally.fail(line, f"It has the id of {place}, the first record of that id, but says something else.")


CHECK = Check(
    name="ids",
    promise="Records of one id say the same.",
    blind="Whether a repeat was a producer's or somebody else's: it changes nothing.",
    run=run,
)
