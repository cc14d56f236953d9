"""`Outcome`: what came of one fault; `Fault`: one that can be tried; `Trial`: what it is tried with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from infra.settings import Settings

Report = Callable[[str], None]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The row of one fault. Every number was counted in the run, by the ledger of who made the load."""

    tried: int  # times that the fault really struck
    lost: int  # acknowledged, and not in the log; or due, and never done
    twice: int  # done twice what happens once: an action that trained twice, an id with two contents
    failed_requests: int | None = None  # that clients saw; None: no client was there
    recovery_s: tuple[float, ...] = ()  # from the fault to health again, one per try; empty: nothing had to recover
    wrong: tuple[str, ...] = ()  # whatever else did not hold, a sentence each
    note: str = ""  # what the numbers do not say: sizes, rates, what could not be had

    @property
    def holds(self) -> bool:
        """Whether everything that is promised held."""
        return self.tried > 0 and not self.lost and not self.twice and not self.wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a fault is tried with."""

    settings: Settings  # as the user has them: models, jars, thresholds
    seed: int  # of everything that is drawn at random
    is_short: bool  # the size for `make test`
    folder: Path  # empty, the fault's own; kept where something did not hold
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row of the table."""

    name: str  # as the table calls it
    run: Callable[[Trial], Outcome]
    has_short: bool = True  # False: there is no size of it for `make test`, so a short suite leaves it out
