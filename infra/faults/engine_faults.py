"""The engine dies: killed, hung or frozen under load, and what clients, log and weights have of it.

    everybody stands before token N ──► kill, or silence ──► retried unseen │ an error event │ a refusal in time
    the engine returns ──► the reloader loads what gateways route to ──► answered again, by no older version

The suite's engine is struck at the very token that a way names, again and again; SGLang itself, which takes most of a
minute to start, a few times (sglang_faults.py). What must hold of all of them is in engine_claims.py.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from functools import partial
from typing import Literal

from infra.faults.account import accounted
from infra.faults.engine_claims import Deadlines, broken_streams, read_evidence, spoken_by_another, tried_again
from infra.faults.engine_strikes import Strikes, first_answer_s, outcome_of, serves_a_version
from infra.faults.ledger import Ledger
from infra.faults.load import people
from infra.faults.outcome import Fault, Outcome, Trial
from infra.faults.sglang_faults import try_sglang
from infra.faults.stage import BACK_WITHIN_S, Stage, staged, until
from infra.settings import archive_folder

NUM_PEOPLE, PAUSE_S = 6, 0.2
PATIENCE_S = 120.0  # of people: longer than the gateway's, so that it is the gateway that speaks
TOKEN_S = 0.01  # a token's time where nobody stands: half a second an answer
SHORT, FULL = Deadlines(retry_s=8.0, token_s=3.0), Deadlines(retry_s=30.0, token_s=4.0)
FIRST_VERSION_S = 240.0
STAND_WITHIN_S = 30.0
SETTLED_WITHIN_S = 240.0
LONGEST_LIFE_S = 1.5  # from an answer to the next strike


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way in which an engine fails."""

    name: str
    strikes: Literal["kill", "hang", "freeze"]
    stands_at: int | None  # tokens of an answer before which everybody stands when it happens; None: at any moment
    rounds: int  # at full size


WAYS = (
    Way(name="engine killed before the first token", strikes="kill", stands_at=0, rounds=60),
    Way(name="engine killed in mid-stream", strikes="kill", stands_at=8, rounds=60),
    Way(name="engine killed at any moment", strikes="kill", stands_at=None, rounds=60),
    Way(name="engine hung before the first token", strikes="hang", stands_at=0, rounds=8),
    Way(name="engine hung in mid-stream", strikes="hang", stands_at=8, rounds=20),
    Way(name="engine frozen (SIGSTOP)", strikes="freeze", stands_at=None, rounds=10),
)


def try_engine(trial: Trial, *ways: Way) -> Outcome:
    """Some ways, one after the other, on one stack."""
    return asyncio.run(_try(trial, ways))


def _one(way: Way, trial: Trial) -> Outcome:
    return try_engine(trial, way)


FAULTS = (
    *(Fault(name=way.name, run=partial(_one, way)) for way in WAYS),
    Fault(name="SGLang killed, and what draws in it frozen", run=try_sglang, has_short=False),
)


async def _try(trial: Trial, ways: tuple[Way, ...]) -> Outcome:
    deadlines = SHORT if trial.is_short else FULL
    ledger, strikes, chance = Ledger(), Strikes(), random.Random(trial.seed)
    tables = {
        "gateway": {"engine_retry_s": deadlines.retry_s},
        "engine": {"token_timeout_s": deadlines.token_s},
    }
    async with staged(trial, tables) as stage:
        await asyncio.to_thread(partial(stage.engine.pace, token_s=TOKEN_S))
        talk = people(
            ledger, stage.stack.gateway_url, count=NUM_PEOPLE, seed=trial.seed, pause_s=PAUSE_S, patience_s=PATIENCE_S
        )
        async with talk:
            if not await until(lambda: serves_a_version(ledger), FIRST_VERSION_S):
                strikes.wrong.append(f"No version was served within {FIRST_VERSION_S:g} s.")
            for way in ways:
                for _ in range(_rounds(way, is_short=trial.is_short)):
                    await asyncio.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
                    await _round(stage, ledger, way, deadlines, strikes)
        archive = archive_folder(stage.stack.settings)
        account = await accounted(stage.stack.kafka, ledger, archive, SETTLED_WITHIN_S)
        evidence = await asyncio.to_thread(read_evidence, stage.stack.kafka)
    strikes.wrong += list(spoken_by_another(ledger.requests, evidence))[:3]
    if any(way.stands_at for way in ways) and not broken_streams(ledger.requests):
        strikes.wrong.append("Nobody was in mid-stream when it happened, which proves nothing.")
    kills = [way for way in ways if way.strikes == "kill"]
    if kills and not trial.is_short and not tried_again(ledger.requests, strikes.away):  # a short patience may be over
        strikes.wrong.append("Nobody who had asked before a death was answered after it: nothing was tried again.")
    return outcome_of(account, strikes, deadlines, evidence)


def _rounds(way: Way, *, is_short: bool) -> int:
    if not is_short:
        return way.rounds
    return 2 if way.strikes == "kill" else 1


async def _round(stage: Stage, ledger: Ledger, way: Way, deadlines: Deadlines, strikes: Strikes) -> None:
    if way.stands_at is not None:
        await asyncio.to_thread(partial(stage.engine.pace, token_s=TOKEN_S, hang_after=way.stands_at))
        if not await _all_stand(stage):
            strikes.wrong.append(f"{way.name}: nobody stood before the token within {STAND_WITHIN_S:g} s.")
            return
    struck_s = time.monotonic()
    if way.strikes == "kill":
        stage.engine.kill()
        await asyncio.to_thread(stage.engine.start)
        await asyncio.to_thread(partial(stage.engine.pace, token_s=TOKEN_S))
        returned_s = time.monotonic()
        strikes.away.append((struck_s, returned_s))
    else:
        if not await _silence(stage, ledger, way, deadlines):
            strikes.wrong.append(f"{way.name}: not everybody was told of the silence within {deadlines.longest_s:g} s.")
        strikes.told_s.append(time.monotonic() - struck_s)
        struck_s = returned_s = time.monotonic()  # what it recovers from ends only here
    strikes.num += 1
    if not await until(lambda: first_answer_s(ledger, returned_s) is not None, BACK_WITHIN_S):
        strikes.wrong.append(f"{way.name}: nobody was answered within {BACK_WITHIN_S:g} s of the engine's return.")
        return
    strikes.recovery_s.append((first_answer_s(ledger, returned_s) or 0.0) - struck_s)


async def _all_stand(stage: Stage) -> bool:
    """Whether everybody's answer stands still, or at least somebody's when the time is over."""
    end_s, standing = time.monotonic() + STAND_WITHIN_S, 0
    while standing < NUM_PEOPLE and time.monotonic() < end_s:
        await asyncio.sleep(0.1)
        standing = await asyncio.to_thread(stage.engine.standing)
    return standing > 0


async def _silence(stage: Stage, ledger: Ledger, way: Way, deadlines: Deadlines) -> bool:
    """The engine says nothing until as many requests have failed as there are people; False: they did not in time."""
    num_failed = ledger.num_failed + NUM_PEOPLE
    if way.strikes == "freeze":
        stage.engine.freeze()
    try:
        return await until(lambda: ledger.num_failed >= num_failed, deadlines.longest_s)
    finally:
        if way.strikes == "freeze":
            stage.engine.thaw()
        else:
            await asyncio.to_thread(partial(stage.engine.pace, token_s=TOKEN_S))
