"""Kill anything: each component dies at each of its failpoints and at random moments, while people talk.

    order a failpoint, or wait a moment ──► the process dies ──► the supervisor starts it again ──► healthy
    in the end: nobody talks any more ──► all that is due gets done ──► ledger against log, log against its promises

A try counts only where the process really died by it.
"""

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from infra.faults.account import accounted
from infra.faults.ledger import Ledger
from infra.faults.load import people
from infra.faults.outcome import Fault, Outcome, Trial
from infra.faults.stage import BACK_WITHIN_S, Stage, staged, until
from infra.settings import archive_folder
from streams.failpoints import FAILPOINTS, order, was_hit, withdraw

NUM_PEOPLE, PAUSE_S = 3, 0.2
SETTLED_WITHIN_S = 240.0
HIT_WITHIN_S = 40.0  # a place that nobody passes meanwhile was not tried
MOST_VISITS = 3  # a failpoint strikes at one of its next visits
LONGEST_LIFE_S = 2.0  # between health and a kill at random
QUOTAS = {"gateway": 260, "processors": 160, "trainer": 170, "reloader": 190, "archiver": 190, "kafka": 30}


@dataclass(slots=True)
class _Kills:
    """What came of the kills of one component."""

    recovery_s: list[float] = field(default_factory=list)
    never_back: list[str] = field(default_factory=list)  # where it died for good
    not_passed: list[str] = field(default_factory=list)  # failpoints that nobody passed in time

    def note(self) -> str:
        """What was ordered and could not be tried."""
        names = ", ".join(sorted(set(self.not_passed)))
        return f"Not passed in time, so not tried: {names}." if names else ""


def _one_component(component: str, trial: Trial) -> Outcome:
    total = 8 if trial.is_short else QUOTAS[component]
    return asyncio.run(_tried(trial, [(component, total)]))


def _all_in_turn(trial: Trial) -> Outcome:
    components = ("gateway", "processors", "trainer", "reloader", "archiver")
    return asyncio.run(_tried(trial, [(name, 1 if trial.is_short else 4) for name in components]))


FAULTS = (
    Fault(name="kill -9 of each component in turn", run=_all_in_turn),
    *(Fault(name=f"kill -9 of the {name}", run=partial(_one_component, name)) for name in QUOTAS),
)


async def _tried(trial: Trial, quotas: list[tuple[str, int]]) -> Outcome:
    """Each component as often as its quota says, then the reckoning."""
    ledger, kills = Ledger(), _Kills()
    chance = random.Random(trial.seed)
    async with staged(trial) as stage:
        async with people(ledger, stage.stack.gateway_url, count=NUM_PEOPLE, seed=trial.seed, pause_s=PAUSE_S):
            await asyncio.sleep(3.0)
            for component, total in quotas:
                for place in _places(component, total, chance):
                    await _kill(stage, component, place, chance, kills)
            await asyncio.sleep(3.0)
        archive = archive_folder(stage.stack.settings)
        account = await accounted(stage.stack.kafka, ledger, archive, SETTLED_WITHIN_S)
    return account.outcome(
        tried=len(kills.recovery_s) + len(kills.never_back),
        recovery_s=tuple(kills.recovery_s),
        wrong=[f"{one} was not back within {BACK_WITHIN_S:g} s." for one in kills.never_back],
        note=kills.note(),
    )


def _places(component: str, total: int, chance: random.Random) -> Iterator[str | None]:
    """`total` places to die at, in the order of the seed; None is any moment. Half of them are failpoints' turns."""
    failpoints: list[str | None] = [name for name, owner in FAILPOINTS.items() if owner == component]
    chosen = [failpoints[i // 2 % len(failpoints)] if failpoints and i % 2 == 0 else None for i in range(total)]
    chance.shuffle(chosen)
    yield from chosen


async def _kill(stage: Stage, component: str, place: str | None, chance: random.Random, kills: _Kills) -> None:
    num_starts = stage.component(component).num_starts
    if place is None:
        await asyncio.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
        stage.signal(component, signal.SIGKILL)
    else:
        order(stage.orders, place, "kill", chance.randint(1, MOST_VISITS))
        if not await until(lambda: was_hit(stage.orders, place), HIT_WITHIN_S) and not withdraw(stage.orders, place):
            kills.not_passed.append(place)
            return
    died_s = time.monotonic()
    if await stage.back(component, num_starts):
        kills.recovery_s.append(time.monotonic() - died_s)
    else:
        kills.never_back.append(f"{component} at {place or 'a random moment'}")
