"""`lying_judge`, `stopped_judge`: the real stage, judge and extractor before a server that misbehaves, in one process.

Every manner of it is tried beside honest ones in the same batches, so that a lie that hits its neighbour is seen.
"""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

from infra.faults.judges.made import made_transition
from infra.faults.judges.manners import ENDLESS, HONEST, LIES, MANNERS
from infra.faults.judges.reckoning import Reckoning
from infra.faults.judges.server import JudgeServer
from infra.faults.outcome import Outcome, Trial
from processors.assess_stage import AssessStage
from serving.config import HintsConfig, JudgeConfig
from serving.judges.factory import make_extractor, make_judge
from streams.memory import MemoryLog
from streams.recorded import Recorded
from streams.topics import HINTS, TRANSITIONS, VERDICTS

_REPEATS_SHORT, _REPEATS = 2, 25  # of each manner
_TIMEOUT_S = 60.0  # of a vote that is answered: a busy machine takes its time
_SHORT_TIMEOUT_S = 5.0  # of a vote among those that are never answered
_STOP_WITHIN_S = 2.0
_STOPS_SHORT, _STOPS = 5, 50
_BATCH = 32  # as `judge_batch`; more than the default, so that waiting votes wait together
NO_CACHE = Path(os.devnull)  # only the embedded judge keeps anything


def lying_judge(trial: Trial) -> Outcome:
    """Every manner of the server, many times, in an order drawn by the seed; every batch is delivered twice."""
    repeats = _REPEATS_SHORT if trial.is_short else _REPEATS
    answered = [*(one for one in LIES if one not in ENDLESS), *HONEST * 5] * repeats
    endless = [*ENDLESS, *HONEST] * repeats
    for some in (answered, endless):
        random.Random(trial.seed).shuffle(some)
    cases = [*answered, *endless]
    with JudgeServer(MANNERS) as server:
        log = asyncio.run(_judged(server, answered, endless))
        num_asked = server.num_asked
    reckoning = _reckoned(cases, log)
    due = sum(case in LIES for case in cases)
    wrong = reckoning.wrong
    if reckoning.num_abstentions != due:
        wrong += (f"{reckoning.num_abstentions} abstentions are recorded where {due} were due.",)
    return Outcome(
        tried=due,
        lost=reckoning.lost,
        twice=reckoning.twice,
        wrong=wrong,
        note=f"{len(LIES)} manners beside honest answers, {num_asked:,} questions, {due:,} abstentions recorded",
    )


def stopped_judge(trial: Trial) -> Outcome:
    """A stop while votes hang, again and again, each time before a new stage on the same log."""
    num_stops = _STOPS_SHORT if trial.is_short else _STOPS
    cases = [random.Random(trial.seed).choice(HONEST) for _ in range(2 * _BATCH)]
    with JudgeServer(MANNERS) as server:
        log, took_s = asyncio.run(_stopped_often(server, cases, num_stops, trial.seed))
    reckoning = _reckoned(cases, log)
    slow = [f"A stop took {one:.1f} s." for one in took_s if one > _STOP_WITHIN_S]
    return Outcome(
        tried=num_stops,
        lost=reckoning.lost,
        twice=reckoning.twice,
        recovery_s=tuple(took_s),
        wrong=(*reckoning.wrong, *slow[:1]),
        note="recovery is how long a stop took; votes would have taken an hour",
    )


async def _judged(server: JudgeServer, answered: Sequence[str], endless: Sequence[str]) -> MemoryLog:
    log = MemoryLog()
    for cases, timeout_s in ((answered, _TIMEOUT_S), (endless, _SHORT_TIMEOUT_S)):
        stage = _stage(server, log, timeout_s)
        for batch in _batches(log, cases):
            await stage.handle(batch)
            await stage.handle(batch)  # Kafka delivers again what was not committed
    return log


async def _stopped_often(
    server: JudgeServer, cases: Sequence[str], num_stops: int, seed: int
) -> tuple[MemoryLog, list[float]]:
    log = MemoryLog()
    batches = _batches(log, cases)
    chance, took_s = random.Random(seed), []
    server.slow_s = 3600.0
    for number in range(num_stops):
        server.slow_s = 3600.0 if number % 2 else chance.uniform(0.0, 0.5)  # some have answers on their way
        work = asyncio.create_task(_handle_all(_stage(server, log), batches))
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        started_s = time.monotonic()
        work.cancel()
        await asyncio.wait([work])
        took_s.append(time.monotonic() - started_s)
    server.slow_s = 0.0
    await _handle_all(_stage(server, log), batches)
    return log, took_s


async def _handle_all(stage: AssessStage, batches: Sequence[Sequence[Recorded]]) -> None:
    for batch in batches:
        await stage.handle(batch)


def _batches(log: MemoryLog, cases: Sequence[str]) -> list[list[Recorded]]:
    """More transitions in the log."""
    first = len(log.events(TRANSITIONS))
    records = [log.append(made_transition(first + number, case)) for number, case in enumerate(cases)]
    return [records[start : start + _BATCH] for start in range(0, len(records), _BATCH)]


def _stage(server: JudgeServer, log: MemoryLog, timeout_s: float = _TIMEOUT_S) -> AssessStage:
    judge = JudgeConfig(kind="llm", url=server.url, model="m", timeout_s=timeout_s, num_votes=2, max_concurrent=32)
    hints = HintsConfig(kind="llm", url=server.url, model="m", timeout_s=timeout_s, num_candidates=1, max_concurrent=32)
    return AssessStage(make_judge(judge, NO_CACHE), make_extractor(hints), log, log.read)


def _reckoned(cases: Sequence[str], log: MemoryLog) -> Reckoning:
    reckoning = Reckoning({f"transition-{number}": case for number, case in enumerate(cases)})
    reckoning.read([*log.events(VERDICTS), *log.events(HINTS)])
    return reckoning
