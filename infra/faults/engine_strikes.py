"""`Strikes`: what came of an engine's deaths, and `outcome_of`: the row that they, the ledger and the log make."""

from dataclasses import dataclass, field

from infra.faults.account import Account
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


@dataclass(slots=True)
class Strikes:
    """Gathered while they happen."""

    num: int = 0
    recovery_s: list[float] = field(default_factory=list)  # from the strike, or the end of the silence, to an answer
    told_s: list[float] = field(default_factory=list)  # from silence to when as many as there are people had been told
    away: list[tuple[float, float]] = field(default_factory=list)  # of each death: from it to the return
    wrong: list[str] = field(default_factory=list)


def serves_a_version(ledger: Ledger) -> bool:
    """Whether anybody was answered by a trained version: only then can an engine come back with less."""
    return any(one.version for one in ledger.requests)


def first_answer_s(ledger: Ledger, since_s: float) -> float | None:
    """When the first request ended well after a time; both of the monotonic clock."""
    return next((one.end_s for one in ledger.requests if one.error is None and one.end_s > since_s), None)


def outcome_of(account: Account, strikes: Strikes, deadlines: Deadlines, evidence: Evidence) -> Outcome:
    """Everything that is claimed of a dying engine, counted."""
    requests = account.ledger.requests
    broken, stale = broken_streams(requests), num_stale(requests)
    told = f" Everybody was told within {max(strikes.told_s):.1f} s of its silence." if strikes.told_s else ""
    return account.outcome(
        tried=strikes.num,
        recovery_s=strikes.recovery_s,
        lost=mistold(broken, evidence),
        twice=[f"{one}, which the engine left unfinished" for one in trained_though_broken(evidence)],
        wrong=[
            *strikes.wrong,
            *unfair(requests, deadlines),
            *([f"{stale} answers were by an older version than somebody had had before."] if stale else []),
            *returned_older(evidence.reloads),
        ],
        note=f"{len(broken)} streams broken off, {account.ledger.num_failed - len(broken)} requests refused.{told}",
    )
