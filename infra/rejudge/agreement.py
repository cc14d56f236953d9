"""`Agreement`: how often two judgings of the same transitions say the same, and what each says where they differ."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sklearn.metrics import cohen_kappa_score

from infra.replay.history import Pair
from schemas.events import Score, VerdictReached

SCORES: tuple[Score | None, ...] = (-1, 0, 1, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Transitions by old and new score; None: the judge abstained."""

    old_judges: tuple[str, ...]
    new_judges: tuple[str, ...]
    counts: Mapping[tuple[Score | None, Score | None], int]
    num_only_old: int  # transitions that are not judged now
    num_only_new: int  # transitions that nobody had judged

    @property
    def num_both(self) -> int:
        """Transitions that were judged twice."""
        return sum(self.counts.values())

    @property
    def share(self) -> float | None:
        """Of those, the share that was judged alike, abstentions included; None where there is none."""
        alike = sum(count for (old, new), count in self.counts.items() if old == new)
        return alike / self.num_both if self.num_both else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa, agreement beyond chance, an abstention being an answer; None where only one was ever given."""
        pairs = [pair for pair, count in self.counts.items() for _ in range(count)]
        if len({label(score) for pair in pairs for score in pair}) < 2:
            return None
        return float(cohen_kappa_score([label(old) for old, _ in pairs], [label(new) for _, new in pairs]))


def agreement_of(old: Mapping[Pair, VerdictReached], new: Mapping[Pair, VerdictReached]) -> Agreement:
    """Two judgings side by side."""
    both = old.keys() & new.keys()
    return Agreement(
        old_judges=_judges(old),
        new_judges=_judges(new),
        counts=Counter((old[pair].score, new[pair].score) for pair in both),
        num_only_old=len(old.keys() - both),
        num_only_new=len(new.keys() - both),
    )


def label(score: Score | None) -> str:
    """A score as a person reads it."""
    return "abstained" if score is None else f"{score:+d}" if score else "0"


def table(agreement: Agreement) -> Iterator[str]:
    """Lines: a row for each old score, a column for each new one."""
    rows: Sequence[tuple[str, ...]] = (
        ("old \\ new", *map(label, SCORES)),
        *((label(old), *(str(agreement.counts.get((old, new), 0)) for new in SCORES)) for old in SCORES),
    )
    for first, *cells in rows:
        yield "  ".join((first.ljust(9), *(cell.rjust(9) for cell in cells)))


def _judges(verdicts: Mapping[Pair, VerdictReached]) -> tuple[str, ...]:
    return tuple(sorted({f"{verdict.judge} {verdict.judge_version}" for verdict in verdicts.values()}))
