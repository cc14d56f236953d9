"""`bench_train`: what an optimizer step costs with shared prefixes, turn by turn, and with TRL's GRPO.

All rows of a method do the same step: same model, adapter, samples, recorded log-probs and rewards; their losses and
gradients are compared with those of its turn-by-turn row. Each row is a fresh process, one after the other, so that
its peak memory is its own. Imports no torch itself: on Linux a child's peak begins at what its parent holds.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from infra.bench.measured import Measured
from infra.bench.train_samples import Sample, conversation_samples
from schemas.errors import FatalError
from trainer.config import TrainerConfig

NUM_TURNS = 10
TRL_MISSING = "Without TRL. For its row: .venv/bin/uv pip install --python .venv/bin/python --no-deps trl==1.16.0"

Way = Literal["turn by turn", "shared prefixes", "TRL"]
WAYS: dict[str, tuple[Way, ...]] = {  # by method; the others are measured against the first
    "binary RL": ("turn by turn", "shared prefixes", "TRL"),
    "hybrid, a hint per turn": ("turn by turn", "shared prefixes"),
}
Drawn = list[list[float]]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRow:
    """One way of doing the step. `difference` is of gradients: its length over that of the turn-by-turn gradient."""

    method: str
    way: Way
    seconds: float  # of processor time
    tokens_per_s: float  # of all turns, prompt and response, whether or not they were computed again
    speedup: float  # over turn by turn
    peak_bytes: int
    loss: float
    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTable:
    """The rows, and the size of the step. `note` says why a row is missing."""

    num_turns: int
    num_tokens: int
    num_response_tokens: int
    longest_turn_tokens: int
    rows: tuple[TrainRow, ...]
    note: str | None


def bench_train(model_path: Path, config: TrainerConfig, report: Callable[[str], None]) -> TrainTable:
    """Times one step on the turns of one conversation; about five minutes in all.

    Raises:  FatalError: a row's process was ended from outside.
    """
    samples = conversation_samples(model_path, NUM_TURNS)
    lengths = [len(sample.prompt_ids) + len(sample.response_ids) for sample in samples]
    report("Drawing log-probs")
    drawn = _alone(partial(_draw, model_path, config, samples))
    rows: list[TrainRow] = []
    note: str | None = None
    for method, ways in WAYS.items():
        naive: Measured | None = None
        for way in ways:
            report(f"{method}, {way}")
            work = partial(_measure, way, model_path, config, samples, drawn, hinted=method != "binary RL")
            try:
                measured = _alone(work)
            except ImportError:  # of TRL; all else is a dependency of ours
                note = TRL_MISSING
                continue
            naive = naive or measured
            rows.append(bench_row(method, way, measured, naive, sum(lengths)))
    return TrainTable(
        num_turns=NUM_TURNS,
        num_tokens=sum(lengths),
        num_response_tokens=sum(len(sample.response_ids) for sample in samples),
        longest_turn_tokens=max(lengths),
        rows=tuple(rows),
        note=note,
    )


def _alone(work: Callable[[], _Answer]) -> _Answer:
    """The answer of a fresh process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work).result()
        except BrokenProcessPool as error:
            message = "A row of the benchmark was ended from outside, most likely for want of memory: it needs 6 GB."
            raise FatalError(message) from error


def _draw(model_path: Path, config: TrainerConfig, samples: Sequence[Sample]) -> Drawn:
    from infra.bench.train_ours import draw

    return draw(model_path, config, samples)


def _measure(
    way: Way, model_path: Path, config: TrainerConfig, samples: Sequence[Sample], drawn: Drawn, *, hinted: bool
) -> Measured:
    if way == "TRL":
        from infra.bench.train_trl import time_trl_step

        return time_trl_step(model_path, config, samples, drawn)
    from infra.bench.train_ours import time_step

    return time_step(model_path, config, samples, drawn, shared=way == "shared prefixes", hinted=hinted)


def bench_row(method: str, way: Way, measured: Measured, naive: Measured, num_tokens: int) -> TrainRow:
    """A measurement beside the turn-by-turn one of its method."""
    own, other = (np.frombuffer(one.gradient, np.float32) for one in (measured, naive))
    return TrainRow(
        method=method,
        way=way,
        seconds=measured.seconds,
        tokens_per_s=num_tokens / measured.seconds,
        speedup=naive.seconds / measured.seconds,
        peak_bytes=measured.peak_bytes,
        loss=measured.loss,
        difference=float(np.linalg.norm(own - other) / np.linalg.norm(other)),
    )
