"""`Check`: one promise that a log can show, as a function of what was remembered of the log.

To add one: a module in checks/ with a `CHECK`, and a line in checks/__init__.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

from infra.audit.facts import Line
from infra.audit.index import LogIndex
from infra.audit.report import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A named check. `promise` says what holds of a good log, `blind` what this check can never see."""

    name: str
    promise: str
    blind: str
    run: Callable[[LogIndex, Tally], None]


def miss(line: Line, what: str, log: LogIndex, tally: Tally) -> None:
    """What belongs to a record is not in the log: a failure, unless it may still be on its way.

    A log that is written to is read partition by partition, and the partitions of a transaction become visible one
    after the other, so what a young record names may be there a moment later.
    """
    if log.is_young(line):
        tally.hidden["records so young that what belongs to them may not be visible yet"] += 1
    else:
        tally.fail(line, what)
