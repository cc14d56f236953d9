"""`audit`: one pass over a log, then every check on what was remembered of it.

    records ──► LogIndex (ids, digests, places; never values) ──► each Check ──► Tally ──► Report

Consumes records from anywhere: Kafka, an archive, a log in memory. Produces a report; what a check cannot see is in it,
with the reason. Memory grows with the number of events, about 1.5 KB each, not with their size.
"""

from collections.abc import Iterable

from infra.audit.checks import CHECKS
from infra.audit.index import LogIndex
from infra.audit.report import Report, Tally
from streams.recorded import Recorded
from streams.topics import TOPICS


def audit(records: Iterable[Recorded], *, now_ms: int, max_open_age_s: float) -> Report:
    """What this log shows of the design's promises.

    Args:    records: committed ones, those of a partition in their order; now_ms: when they are read, epoch;
             max_open_age_s: how long a turn may wait (setting processors.max_open_age_s).
    """
    log = LogIndex(now_ms=now_ms, max_open_age_ms=int(max_open_age_s * 1000))
    for record in records:
        log.add(record)
    tallies = tuple(Tally(check=check.name) for check in CHECKS)
    for check, tally in zip(CHECKS, tallies, strict=True):
        check.run(log, tally)
    return Report(records={topic.name: log.num_records[topic.name] for topic in TOPICS}, tallies=tallies)
