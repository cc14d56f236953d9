"""Kill anything: each component dies at each of its failpoints and at random moments, while people talk.

    order a failpoint, or wait a moment ──► the process dies ──► the supervisor starts it again ──► healthy
    in the end: nobody talks any more ──► all that is due gets done ──► ledger against log, log against its promises
    where the trainer was a victim: the log's batches trained once more, straight through ──► the same weights

A try counts only where the process really died by it. The spool's failpoints are passed only while Kafka is away, so
Kafka dies first; where all die at once, they are left out. At full size every failpoint that was ordered must have
struck, and nearly all kills that were planned.
"""

import asyncio
import random
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

from infra.faults.account import accounted, failures
from infra.faults.ledger import Ledger
from infra.faults.load import people
from infra.faults.outcome import Fault, Outcome, Trial
from infra.faults.retrained import Retrained, retrained
from infra.faults.stage import BACK_WITHIN_S, Stage, staged, until
from infra.faults.victims import DYING_WITHIN_S, OneOfTwo, Victim
from infra.settings import archive_folder
from streams.consumer import read_all
from streams.failpoints import FAILPOINTS, hit_by, order, was_hit, withdraw
from streams.topics import BATCHES, CHECKPOINTS

NUM_PEOPLE, PAUSE_S = 3, 0.5
SETTLED_WITHIN_S = 600.0  # who dies all the time leaves much to be done
HIT_WITHIN_S = 20.0  # a place that nobody passes meanwhile was not tried
RARE_WITHIN_S = 60.0  # the same of the spool's places, and where all die at once: what leads there must come back first
NUM_ORDERS = 3  # of a place that is not passed in time, until it counts as one that nobody passes
MIN_STRUCK = 0.8  # of the kills that are planned; the others met a process that was dead already, or a place unpassed
MIN_STRUCK_AT_ONCE = 0.5  # who dies waits for who is dead: many a place is not passed in time
MOST_VISITS = 3  # a failpoint strikes at one of its next visits
LONGEST_LIFE_S = {"kafka": 60.0}  # between health and a kill at random; the others' is USUAL_LIFE_S
USUAL_LIFE_S = 2.0
NUM_SHORT = 4
# A thousand in all, with some to spare for places that are not passed in time. A component that dies again and again
# waits 8 s for its next start; where all die at once, these waits overlap.
IN_TURN = {"gateway": 4, "processors": 4, "trainer": 4, "reloader": 4, "archiver": 4}
ALONE = {"gateway": 20, "processors": 12, "trainer": 14, "reloader": 12, "archiver": 12, "kafka": 5}
OF_TWO = {"processors": 20}
# So that all have their last turn at about the same time: who is back sooner dies more often.
AT_ONCE = {"gateway": 64, "processors": 40, "trainer": 24, "reloader": 36, "archiver": 90, "kafka": 10}
NUM_AT_ONCE = 4  # rows, each with other moments


@dataclass(slots=True)
class Kills:
    """What came of the kills of one component."""

    recovery_s: list[float] = field(default_factory=list)
    never_back: list[str] = field(default_factory=list)  # where it died for good
    passed: set[str] = field(default_factory=set)  # failpoints that struck


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who dies how often."""

    quotas: Mapping[str, int]
    kind: type[Victim] = Victim
    at_once: bool = False  # False: one component after the other
    number: int = 0  # of rows that are alike

    def of(self, trial: Trial) -> "Plan":
        """As large as the trial is."""
        if not trial.is_short:
            return self
        return replace(self, quotas=dict.fromkeys(self.quotas, 1 if len(self.quotas) > 1 else NUM_SHORT))


def _run(plan: Plan, trial: Trial) -> Outcome:
    return asyncio.run(_tried(trial, plan.of(trial)))


FAULTS = (
    Fault(name="kill -9 of each component in turn", run=partial(_run, Plan(quotas=IN_TURN))),
    *(
        Fault(name=f"kill -9 of the {name}", run=partial(_run, Plan(quotas={name: total})))
        for name, total in ALONE.items()
    ),
    Fault(name="kill -9 of one of two processors", run=partial(_run, Plan(quotas=OF_TWO, kind=OneOfTwo))),
    *(
        Fault(
            name=f"kill -9 of all components at once, {number}",
            run=partial(_run, Plan(quotas=AT_ONCE, at_once=True, number=number)),
            has_short=False,
        )
        for number in range(1, NUM_AT_ONCE + 1)
    ),
)


async def _tried(trial: Trial, plan: Plan) -> Outcome:
    """Each component as often as its quota says, then the reckoning."""
    ledger, kills = Ledger(), {name: Kills() for name in plan.quotas}
    async with staged(trial) as stage:
        url = stage.stack.gateway_url
        async with people(ledger, url, count=NUM_PEOPLE, seed=trial.seed + 1000 * plan.number, pause_s=PAUSE_S):
            await asyncio.sleep(3.0)
            if plan.at_once:
                async with asyncio.TaskGroup() as group:
                    for name in plan.quotas:
                        group.create_task(kill_often(stage, name, plan, trial.seed, kills[name]))
            else:
                for name in plan.quotas:
                    await kill_often(stage, name, plan, trial.seed, kills[name])
            await asyncio.sleep(3.0)
        archive = archive_folder(stage.stack.settings)
        account = await accounted(stage.stack.kafka, ledger, archive, SETTLED_WITHIN_S)
        weights = await asyncio.to_thread(_retrained, stage, trial) if "trainer" in plan.quotas else None
    never_back = [one for each in kills.values() for one in each.never_back]
    recovery_s = tuple(seconds for each in kills.values() for seconds in each.recovery_s)
    return account.outcome(
        tried=len(recovery_s) + len(never_back),
        recovery_s=recovery_s,
        wrong=[
            *(f"{one} was not back within {BACK_WITHIN_S:g} s." for one in never_back),
            *([] if trial.is_short else untried(plan, kills)),
            *([] if "gateway" in plan.quotas else failures(ledger)),
            *(weights.wrong if weights else []),
        ],
        note=f"{_note(kills)} {weights.note if weights else ''}".strip(),
    )


def _retrained(stage: Stage, trial: Trial) -> Retrained:
    """Who died half-way through a step must have moved the weights as if nothing had been. Blocking."""
    settings = stage.stack.settings
    records = read_all(settings.kafka, (BATCHES, CHECKPOINTS))
    return retrained(records, settings.trainer, stage.engine.model_path, trial.folder / "retrained")


def untried(plan: Plan, kills: Mapping[str, Kills]) -> Iterator[str]:
    """What the plan had, and nobody has seen: then the row does not say what its name does."""
    for name, quota in plan.quotas.items():
        num = len(kills[name].recovery_s) + len(kills[name].never_back)
        if num < quota * (MIN_STRUCK_AT_ONCE if plan.at_once else MIN_STRUCK):
            yield f"Only {num} of {quota} kills of the {name} struck."
        for place in _failpoints(name, plan)[: (quota + 1) // 2]:
            if place not in kills[name].passed:
                yield f"The {name} never died at {place}."


def _note(kills: Mapping[str, Kills]) -> str:
    """What the row's numbers do not say."""
    if len(kills) == 1:
        return ""
    told = [
        f"{name} {len(each.recovery_s)}, {median(each.recovery_s):.1f} / {max(each.recovery_s):.1f} s"
        for name, each in kills.items()
        if each.recovery_s
    ]
    return f"Kills, recovery: {'; '.join(told)}."


async def kill_often(stage: Stage, component: str, plan: Plan, seed: int, kills: Kills) -> None:
    """One component, at its places in the order of the seed; `kills` is filled."""
    chance = random.Random(f"{seed}/{plan.number}/{component}")
    waiting = deque((place, 1) for place in _places(component, plan, chance))
    async with plan.kind(stage, component) as victim:
        while waiting:
            place, num_orders = waiting.popleft()
            if _is_spooling(place):
                await until(lambda: stage.component("kafka").state == "healthy", BACK_WITHIN_S)
                stage.signal("kafka", signal.SIGKILL)
            struck = await _struck(victim, stage.orders, place, plan, chance)
            if struck and await _recovered(stage, victim, place, kills):
                continue
            if waits_again(place, num_orders, plan, kills):
                waiting.append((place, num_orders + 1))


def waits_again(place: str | None, num_orders: int, plan: Plan, kills: Kills) -> bool:
    """Whether a place that nobody passed in time has another turn, after all others: things may be calmer by then."""
    is_enough = num_orders == NUM_ORDERS or (plan.at_once and place in kills.passed)
    return place is not None and not is_enough


def _places(component: str, plan: Plan, chance: random.Random) -> Iterator[str | None]:
    """As many places to die at as planned, in the order of the seed; None is any moment. Half are failpoints' turns."""
    failpoints, total = _failpoints(component, plan), plan.quotas[component]
    chosen = [failpoints[i // 2 % len(failpoints)] if failpoints and i % 2 == 0 else None for i in range(total)]
    chance.shuffle(chosen)
    yield from chosen


def _is_spooling(place: str | None) -> bool:
    return place is not None and place.startswith("spool.")


def _failpoints(component: str, plan: Plan) -> list[str]:
    own = [name for name, owner in FAILPOINTS.items() if owner == component]
    return [name for name in own if not (plan.at_once and _is_spooling(name))]


async def _struck(victim: Victim, orders: Path, place: str | None, plan: Plan, chance: random.Random) -> bool:
    """Whether it died of this: at any moment (None), or at a place that it passes in time."""
    await victim.ready()
    if place is None:
        await asyncio.sleep(chance.uniform(0.0, LONGEST_LIFE_S.get(victim.component, USUAL_LIFE_S)))
        return victim.strike(chance)  # False: it had died of something else
    is_rare = plan.at_once or _is_spooling(place)
    order(orders, place, "kill", 1 if is_rare else chance.randint(1, MOST_VISITS))
    within_s = RARE_WITHIN_S if is_rare else HIT_WITHIN_S
    return await until(lambda: was_hit(orders, place), within_s) or withdraw(orders, place)


async def _who_passed(orders: Path, place: str) -> int | None:
    await until(lambda: hit_by(orders, place) is not None, DYING_WITHIN_S)
    return hit_by(orders, place)


async def _recovered(stage: Stage, victim: Victim, place: str | None, kills: Kills) -> bool:
    """Notes how long it took, if at all; False: something else has ended it in between, so nothing is known."""
    died_s = time.monotonic()
    if place is not None:
        pid = await _who_passed(stage.orders, place)
        if pid is None:
            return False
        kills.passed.add(place)
        await victim.fell(pid)
    if await victim.back():
        kills.recovery_s.append(time.monotonic() - died_s)
    else:
        kills.never_back.append(f"{victim.component} at {place or 'a random moment'}")
    return True
