"""`digests`: every record is what its producer stamped."""

from infra.audit.check import Check
from infra.audit.index import LogIndex
from infra.audit.report import Tally


def run(log: LogIndex, tally: Tally) -> None:
    """The index has compared each record as it came by; its value is not kept."""
    num_unstamped = log.num_unstamped.total()
    tally.num_checked = log.num_records.total() - num_unstamped
    for line, how in log.changed:
        tally.fail(line, how)
    if log.num_erased:
        tally.hidden["batches that have lost words to an erasure"] = log.num_erased
    if num_unstamped:
        tally.hidden["records whose producer writes no stamp"] = num_unstamped


CHECK = Check(
    name="digests",
    promise="A record is what its producer stamped.",
    blind="A change by somebody who writes a new digest too: other checks may see what it contradicts.",
    run=run,
)
