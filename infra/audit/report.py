"""`Report`: what the audit found: per check how much was checked, what fails, what was counted, what cannot be seen."""

from collections import Counter
from dataclasses import dataclass, field

from infra.audit.facts import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A record that breaks a promise, or beside which one is missing."""

    check: str
    topic: str
    partition: int
    offset: int
    event_id: str
    what: str  # one sentence


@dataclass(slots=True, kw_only=True)
class Tally:
    """One check's result, while it is made and afterwards."""

    check: str
    num_checked: int = 0
    failures: list[Finding] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)  # no failures, but worth knowing
    hidden: Counter[str] = field(default_factory=Counter)  # what could not be checked, by reason

    def fail(self, line: Line, what: str) -> None:
        """A promise is broken. Args: what: the sentence that says how."""
        topic, partition, offset, _, event_id = line
        self.failures.append(
            Finding(check=self.check, topic=topic, partition=partition, offset=offset, event_id=event_id, what=what)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All checks of one log. `records`: how many each topic holds."""

    records: dict[str, int]
    tallies: tuple[Tally, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing fails."""
        return not any(tally.failures for tally in self.tallies)
