"""`table_of`: results as the Markdown table of the README."""

from collections.abc import Sequence
from statistics import median

from infra.faults.results import Result

HEAD = ("fault", "seed", "tried", "lost", "twice", "failed requests", "recovery, median / worst", "")


def table_of(results: Sequence[Result]) -> str:
    """One row per fault; what did not hold is said in its last column."""
    rows = [HEAD, ("---",) * len(HEAD), *(_row(result) for result in results)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(result: Result) -> tuple[str, ...]:
    outcome = result.outcome
    failed = "" if outcome.failed_requests is None else f"{outcome.failed_requests:,}"
    counts = (f"{outcome.tried:,}", f"{outcome.lost:,}", f"{outcome.twice:,}", failed)
    recovery = f"{median(outcome.recovery_s):.1f} / {max(outcome.recovery_s):.1f} s" if outcome.recovery_s else ""
    note = " ".join((*(f"**{sentence}**" for sentence in outcome.wrong), outcome.note)).strip()
    return (result.fault, str(result.seed), *counts, recovery, note)
