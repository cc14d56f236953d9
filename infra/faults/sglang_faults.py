"""SGLang itself dies: killed under load, and, alone in it, the process that draws frozen. A stack as a user starts it.

Its supervisor must find it in both cases; a frozen one only by the token that it does not draw (infra/health.py).
"""

import asyncio
import random
import signal
import time

import psutil

from infra.components import ENGINE_SILENCE_S
from infra.faults.account import accounted
from infra.faults.engine_claims import Deadlines, read_evidence
from infra.faults.engine_strikes import Strikes, first_answer_s, outcome_of, serves_a_version
from infra.faults.ledger import Ledger
from infra.faults.load import people
from infra.faults.outcome import Outcome, Trial
from infra.faults.stage import RunningStack, staged_with_sglang, until
from infra.settings import archive_folder
from schemas.errors import FatalError

_NUM_KILLS, _NUM_FREEZES = 5, 1
_NUM_PEOPLE = 2  # two cores draw some 30 tokens a second
_RETRY_S = 400.0  # a start of SGLang beside other work, and the silence before it
_FIRST_VERSION_S = 900.0
_ANSWERED_WITHIN_S = 600.0
_SHORTEST_LIFE_S, _LONGEST_LIFE_S = 2.0, 20.0  # from an answer to the next strike


def try_sglang(trial: Trial) -> Outcome:
    """Kills and a freeze of the engine that the stack itself started."""
    return asyncio.run(_try(trial))


async def _try(trial: Trial) -> Outcome:
    ledger, strikes, chance = Ledger(), Strikes(), random.Random(trial.seed)
    async with staged_with_sglang(trial, {"gateway": {"engine_retry_s": _RETRY_S}, "gate": {"enabled": True}}) as stage:
        engine, kafka = stage.stack.settings.engine, stage.stack.kafka
        deadlines = Deadlines(retry_s=_RETRY_S, token_s=engine.token_timeout_s)
        talk = people(
            ledger,
            stage.stack.gateway_url,
            count=_NUM_PEOPLE,
            seed=trial.seed,
            patience_s=2 * deadlines.longest_s,
        )
        async with talk:
            if not await until(lambda: serves_a_version(ledger), _FIRST_VERSION_S):
                strikes.wrong.append(f"No version was served within {_FIRST_VERSION_S:g} s.")
            for number in range(_NUM_KILLS + _NUM_FREEZES):
                await asyncio.sleep(chance.uniform(_SHORTEST_LIFE_S, _LONGEST_LIFE_S))
                is_killed = number < _NUM_KILLS
                await _strike(stage, ledger, strikes, back_within_s=engine.boot_timeout_s, is_killed=is_killed)
                trial.report(f"strike {number + 1}: {strikes.recovery_s[-1:]} s")
        account = await accounted(kafka, ledger, archive_folder(stage.stack.settings))
        evidence = await asyncio.to_thread(read_evidence, kafka)
    return outcome_of(account, strikes, deadlines, evidence)


async def _strike(
    stage: RunningStack, ledger: Ledger, strikes: Strikes, *, back_within_s: float, is_killed: bool
) -> None:
    num_starts, struck_s = stage.component("engine").num_starts, time.monotonic()
    if is_killed:
        stage.signal("engine", signal.SIGKILL)
    else:
        _freeze_what_draws(stage)
        back_within_s += 2 * ENGINE_SILENCE_S  # until it is found
    strikes.num += 1
    is_back = await stage.back("engine", num_starts, back_within_s)
    returned_s = time.monotonic()
    if not is_back or not await until(lambda: first_answer_s(ledger, returned_s) is not None, _ANSWERED_WITHIN_S):
        strikes.wrong.append(f"SGLang {'did not answer' if is_back else 'was not back'} after strike {strikes.num}.")
        return
    strikes.recovery_s.append((first_answer_s(ledger, returned_s) or 0.0) - struck_s)


def _freeze_what_draws(stage: RunningStack) -> None:
    """Stops the schedulers of our own engine; the process that answers its doors goes on.

    Raises:  FatalError: there is none, so this is not the SGLang that we know.
    """
    children = psutil.Process(stage.component("engine").pid).children(recursive=True)
    schedulers = [child for child in children if "scheduler" in " ".join(child.cmdline())]
    if not schedulers:
        raise FatalError("SGLang has no process that calls itself a scheduler; find what draws in it, and freeze that.")
    for one in schedulers:
        one.send_signal(signal.SIGSTOP)
