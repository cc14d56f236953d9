"""`readable`: every record holds an event of its topic, under its key and in its partition, or a rejection names it."""

from infra.audit.check import Check
from infra.audit.index import LogIndex
from infra.audit.report import Tally


def run(log: LogIndex, tally: Tally) -> None:
    """An input that nobody can use is no failure where the stage that read it has said so."""
    tally.num_checked = log.num_records.total()
    for line, reason in log.unreadable:
        if log.is_rejected(line):
            tally.counted["rejected inputs"] += 1
        elif log.is_young(line):
            tally.hidden["records so young that they may still be rejected"] += 1
        else:
            tally.fail(line, f"No event can be read here, and no rejection names the place: {reason}")


CHECK = Check(
    name="readable",
    promise="Records decode and lie where their keys say, or are rejected.",
    blind="Records that never reached Kafka.",
    run=run,
)
