"""`time_step`: one optimizer step of this trainer on given samples, with shared prefixes or turn by turn.

Runs in a process of its own, for its peak memory is read off the process (infra/bench/train.py). Time is the
process's processor time: on one thread that of an idle machine, whatever else this one does meanwhile.
"""

import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from infra.bench.measured import Measured
from infra.bench.train_samples import Sample
from streams.version_line import VersionLine
from trainer.backends.base import Response, Tensors
from trainer.backends.torch import TorchBackend
from trainer.batches import Origin, Turn
from trainer.config import TrainerConfig
from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.hybrid import Hybrid
from trainer.parity import Parity
from trainer.step import train_step

TEMPERATURE = 0.8
_FIRST_MOMENT = 0.1  # of the gradient; AdamW's 1 - beta_1
_UNCLIPPED = 1e9  # the gradients of all rows are compared as they are


class TurnByTurn(TorchBackend):
    """The naive way: every turn is a pass of its own, and reads the whole conversation again."""

    def groups(self, responses: Sequence[Response], *, frozen: bool) -> list[list[int]]:  # noqa: ARG002
        """One each."""
        return [[number] for number in range(len(responses))]


def draw(model_path: Path, config: TrainerConfig, samples: Sequence[Sample]) -> list[list[float]]:
    """The log-probs that an engine would have recorded for each response, so that every ratio begins at 1."""
    backend = load(TorchBackend, model_path, config)
    adapter = backend.adapter()
    return [backend.logprobs(response(sample), adapter).tolist() for sample in samples]


def time_step(
    model_path: Path,
    config: TrainerConfig,
    samples: Sequence[Sample],
    drawn: Sequence[Sequence[float]],
    *,
    shared: bool,
    hinted: bool,
) -> Measured:
    """One step: binary RL, or with `hinted` the hybrid, whose frozen teacher reads a hint per turn."""
    backend = load(TorchBackend if shared else TurnByTurn, model_path, config)
    objective = Hybrid(baseline="none") if hinted else BinaryRL(baseline="none")
    turns = [_turn(number, *pair, hinted=hinted) for number, pair in enumerate(zip(samples, drawn, strict=True))]
    warm_up(backend, samples[0])
    started_s = time.process_time()
    report = train_step(
        backend,
        objective,
        Parity(backend, _no_adapter),
        turns,
        line=VersionLine(),
        past_rewards=(),
        before_pass=lambda: None,
    )
    seconds = time.process_time() - started_s
    state = backend.state()
    moments = [state[f"{name}.exp_avg"].flatten() for name in sorted(backend.adapter())]
    gradient = torch.cat(moments) / _FIRST_MOMENT
    return Measured(
        seconds=seconds, peak_bytes=peak_bytes(), loss=report.metrics["loss"], gradient=gradient.numpy().tobytes()
    )


def load(kind: type[TorchBackend], model_path: Path, config: TrainerConfig) -> TorchBackend:
    """The policy with an adapter that is not zero, the same in every process: a fresh one has no gradient but in B."""
    backend = kind.load(model_path, config.model_copy(update={"max_grad_norm": _UNCLIPPED}))
    random = torch.Generator().manual_seed(config.seed)
    adapter = {name: 0.02 * torch.randn(one.shape, generator=random) for name, one in backend.adapter().items()}
    fresh = {f"{name}.step": torch.zeros(()) for name in adapter}
    for key in ("exp_avg", "exp_avg_sq"):
        fresh |= {f"{name}.{key}": torch.zeros(one.shape) for name, one in adapter.items()}
    backend.load_state(adapter, {**fresh, **backend.state()})
    return backend


def warm_up(backend: TorchBackend, sample: Sample) -> None:
    """The first pass of a process is slower; its gradient is 0, so that none is left behind."""
    (logprobs_TV,) = backend.student([response(sample)])
    backend.backward(0.0 * logprobs_TV.sum())


def response(sample: Sample) -> Response:
    """What the turn's own pass reads."""
    return _reading(sample, sample.prompt_ids)


def peak_bytes() -> int:
    """Of this process, from its start."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _reading(sample: Sample, prompt_ids: Sequence[int]) -> Response:
    return Response(
        prompt_ids_P=torch.tensor(prompt_ids),
        response_ids_T=torch.tensor(sample.response_ids),
        temperature=TEMPERATURE,
    )


def _turn(number: int, sample: Sample, drawn: Sequence[float], *, hinted: bool) -> Turn:
    origin = Origin(
        conversation_id="bench", tenant="", subject="", source="chat", episode_id=None, group_id=None, step=None
    )
    return Turn(
        sample_id=f"sample-{number}",
        action_id=f"action-{number}",
        origin=origin,
        response=response(sample),
        engine_logprobs_T=torch.tensor(drawn),
        versions_T=torch.zeros(len(drawn), dtype=torch.int64),
        teachers=(_reading(sample, sample.hinted_prompt_ids),) if hinted else (),
        reward=sample.reward,
        outcome=None,
    )


def _no_adapter(version: int) -> Tensors:
    raise LookupError(version)  # every turn is of the version that trains
