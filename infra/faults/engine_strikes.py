"""`Strikes`: what came of an engine's deaths, and `outcome_of`: the row that they, the ledger and the log make."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from infra.faults.engine_claims import (
    Deadlines,
    Evidence,
    broken_streams,
    mistold,
    num_stale,
    returned_older,
    trained_though_broken,
    unfair,
)
from infra.faults.ledger import Ledger
from infra.faults.outcome import Outcome
from infra.faults.reckoning import Reckoning

_TELL = 3  # of each kind of loss


@dataclass(slots=True)
class Strikes:
    """Gathered while they happen."""

    num: int = 0
    recovery_s: list[float] = field(default_factory=list)  # from the strike, or the end of the silence, to an answer
    told_s: list[float] = field(default_factory=list)  # from silence to when as many as there are people had been told
    wrong: list[str] = field(default_factory=list)


def serves_a_version(ledger: Ledger) -> bool:
    """Whether anybody was answered by a trained version: only then can an engine come back with less."""
    return any(one.version for one in ledger.requests)


def first_answer_s(ledger: Ledger, since_s: float) -> float | None:
    """When the first request ended well after a time; both of the monotonic clock."""
    return next((one.end_s for one in ledger.requests if one.error is None and one.end_s > since_s), None)


def outcome_of(ledger: Ledger, strikes: Strikes, deadlines: Deadlines, found: Reckoning, evidence: Evidence) -> Outcome:
    """Everything that is claimed of a dying engine, counted."""
    requests = ledger.requests
    broken = broken_streams(requests)
    lost = [*found.lost, *mistold(broken, evidence)]
    twice = [*found.twice, *(f"{one}, which the engine left unfinished" for one in trained_though_broken(evidence))]
    stale = num_stale(requests)
    return Outcome(
        tried=strikes.num,
        lost=len(lost),
        twice=len(twice),
        failed_requests=ledger.num_failed,
        recovery_s=tuple(strikes.recovery_s),
        wrong=(
            *strikes.wrong,
            *unfair(requests, deadlines),
            *([f"{stale} answers were by an older version than somebody had had before"] if stale else []),
            *returned_older(evidence.reloads),
            *found.wrong,
            *(f"lost: {one}" for one in lost[:_TELL]),
            *(f"trained: {one}" for one in twice[:_TELL]),
        ),
        note=" ".join(_notes(ledger, strikes, found, len(broken))),
    )


def _notes(ledger: Ledger, strikes: Strikes, found: Reckoning, num_broken: int) -> Sequence[str]:
    refused = ledger.num_failed - num_broken
    told = f"Everybody was told within {max(strikes.told_s):.1f} s of its silence." if strikes.told_s else ""
    return [
        f"{len(ledger.acknowledged):,} replies acknowledged, {num_broken} streams broken off, {refused} refused;",
        f"{found.num_trained:,} actions trained in {found.num_versions} versions.",
        *([told] if told else []),
    ]
