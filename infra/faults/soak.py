"""Steady load for half an hour, twice: no process grows, no lag does, no file handle stays open, the disk as expected.

    start ──► warm-up: what is bounded reaches its bounds ──► measured: a look every 10 s ──► settled, reckoned, judged

An hour and its warm-up are longer than the 45 minutes that a row may take, so it is two rows, each on a stack of its
own. What grows up to a bound by design, open actions and turns, has bounds here that the warm-up reaches. The samples
stay behind as CSV, beside the trial's folder. Judged are the stack's processes; its supervisor is this process, which
holds the clients and their ledger, too, and the engine is the suite's own.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from infra.components import ARCHIVER, WORKERS
from infra.faults.account import accounted, failures
from infra.faults.ledger import Ledger
from infra.faults.load import people
from infra.faults.outcome import Fault, Outcome, Trial
from infra.faults.samples import Samples, growth, slope_per_hour
from infra.faults.stage import Stage, staged
from infra.settings import archive_folder

MIB = 1024 * 1024
NUM_PEOPLE, PAUSE_S = 4, 4.0  # two turns a second, which two cores carry
SETTLED_WITHIN_S = 300.0
COMPONENTS = ("kafka", *WORKERS, ARCHIVER)
# Of what is kept by design, a trained action's id in the trainer and a version's record in trainer and reloader take
# 1 to 8 MiB an hour at this rate. One event of a turn that is kept, some 5 KB, would be 40.
MAX_MIB_PER_HOUR = 16.0
# Kafka's heap grows in steps up to its ceiling, -Xmx512m, and is no leak below it; its code and buffers come on top.
MAX_KAFKA_MIB = 800
MAX_MORE_HANDLES = 8  # connections and files come and go
MAX_MORE_RECORDS = 200  # of lag: ten seconds' worth
MAX_LAG_RECORDS = 1_000  # a minute behind
MAX_DISK_RATIO = 1.5  # what the second half of the time adds to the disk, to the first
MAX_DISK_STEP = 16 * MIB  # files are allocated ahead, and archived ones merged
TABLES = {
    "gateway": {"max_open_age_s": 240.0, "max_chain_age_s": 120.0, "max_open_bytes": 8 * MIB},
    "processors": {"max_open_age_s": 300.0, "max_open_bytes": 16 * MIB},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long, and how often is looked."""

    warm_up_s: float
    measured_s: float
    every_s: float
    judges_growth: bool  # of memory and disk, which shows in half an hour and not in half a minute


SHORT = Plan(warm_up_s=5.0, measured_s=20.0, every_s=1.0, judges_growth=False)
FULL = Plan(warm_up_s=600.0, measured_s=1800.0, every_s=10.0, judges_growth=True)


def try_soak(trial: Trial) -> Outcome:
    """One stretch of steady load."""
    return asyncio.run(_soak(trial, SHORT if trial.is_short else FULL))


def _again(trial: Trial) -> Outcome:
    return asyncio.run(_soak(trial, FULL, more_seed=1))


FAULTS = (
    Fault(name="steady load, first half hour", run=try_soak),
    Fault(name="steady load, second half hour", run=_again, has_short=False),
)


async def _soak(trial: Trial, plan: Plan, more_seed: int = 0) -> Outcome:
    ledger, samples = Ledger(), Samples()
    async with staged(trial, TABLES) as stage:
        url, seed = stage.stack.gateway_url, trial.seed + more_seed
        async with people(ledger, url, count=NUM_PEOPLE, seed=seed, pause_s=PAUSE_S):
            await _watch(stage, samples, plan)
        samples.write(trial.folder.with_suffix(".csv"))
        account = await accounted(stage.stack.kafka, ledger, archive_folder(stage.stack.settings), SETTLED_WITHIN_S)
    measured = samples.since(plan.warm_up_s)
    return account.outcome(
        tried=len(ledger.acknowledged),
        wrong=[*failures(ledger), *wrongs(measured, judges_growth=plan.judges_growth)],
        note=" ".join(_notes(measured, plan)),
    )


async def _watch(stage: Stage, samples: Samples, plan: Plan) -> None:
    started_s, at_s = time.monotonic(), 0.0
    while at_s < plan.warm_up_s + plan.measured_s:
        await asyncio.to_thread(samples.take, at_s, stage, COMPONENTS)
        await asyncio.sleep(max(0.0, started_s + at_s + plan.every_s - time.monotonic()))
        at_s = time.monotonic() - started_s


def wrongs(measured: Samples, *, judges_growth: bool) -> Iterator[str]:
    """What grows though nothing should, who was started again, and what was not seen; a sentence each."""
    seen = {name for name, _ in measured.of("rss_bytes")}
    yield from (f"{name} was not seen often enough" for name in COMPONENTS if name not in seen)
    if not any(measured.of("lag_records")):
        yield "nobody said how far consumers are behind"
    for name, points in measured.of("pid"):
        if len({value for _, value in points}) > 1:
            yield f"{name} was started again"
    for name, points in measured.of("num_handles"):
        if (more := growth(points)) > MAX_MORE_HANDLES:
            yield f"{name} holds {more:g} more file handles than at the beginning"
    for group, points in measured.of("lag_records"):
        if (more := growth(points)) > MAX_MORE_RECORDS:
            yield f"{group} falls behind: {more:g} more records than at the beginning"
        if (largest := max(value for _, value in points)) > MAX_LAG_RECORDS:
            yield f"{group} was {largest:g} records behind"
    if judges_growth:
        yield from _memory(measured)
        yield from _disk(measured)


def _memory(measured: Samples) -> Iterator[str]:
    for name, points in measured.of("rss_bytes"):
        largest, slope = max(value for _, value in points) / MIB, slope_per_hour(points) / MIB
        if name == "kafka":
            if largest > MAX_KAFKA_MIB:
                yield f"kafka takes {largest:.0f} MiB"
        elif slope > MAX_MIB_PER_HOUR:
            yield f"{name} grows by {slope:.1f} MiB an hour, to {largest:.0f} MiB"


def _disk(measured: Samples) -> Iterator[str]:
    for folder, points in measured.of("disk_bytes"):
        middle = len(points) // 2
        first, second = points[middle][1] - points[0][1], points[-1][1] - points[middle][1]
        if second > MAX_DISK_RATIO * max(first, 0.0) + MAX_DISK_STEP:
            yield f"{folder}/ grows faster: by {first / MIB:.1f} MiB, then by {second / MIB:.1f} MiB"


def _notes(measured: Samples, plan: Plan) -> Iterator[str]:
    yield f"{plan.measured_s:.0f} s after {plan.warm_up_s:.0f} s of warm-up."
    if plan.judges_growth:
        sizes = measured.of("rss_bytes")
        slopes = (f"{name} {slope_per_hour(points) / MIB:+.1f}" for name, points in sizes)
        yield f"MiB per hour: {', '.join(slopes)}."
    lags = [(max(value for _, value in points), group) for group, points in measured.of("lag_records")]
    if lags:
        yield f"Largest lag: {max(lags)[0]:g} records ({max(lags)[1]})."
    disk = sum(points[-1][1] - points[0][1] for _, points in measured.of("disk_bytes"))
    yield f"Disk: {disk / MIB:+.0f} MiB."
