"""`train_step`: one optimizer step on the turns of one batch, blind to the method that it trains.

Consumes turns, a backend and an objective; produces moved weights and a report. Per turn: teacher passes if the
objective reads them, one student pass, the objective's loss per token, its mean over the turn's tokens, its gradient.
The step follows the mean over turns, so a long answer counts as much as a short one.

All student passes run under the weights at the step's start, so comparing them with the engine costs nothing.
Legend: T response tokens, V vocabulary.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from schemas.errors import RejectedError
from trainer.backends.base import Backend
from trainer.batches import Rejected, Turn
from trainer.objectives.base import Objective, TurnTensors
from trainer.parity import NUM_RESCORED_TURNS, Parity


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a step did. `trained` is empty where every turn was rejected; the weights have not moved then."""

    trained: tuple[Turn, ...]
    rejected: tuple[Rejected, ...]
    metrics: dict[str, float]


def train_step(
    backend: Backend,
    objective: Objective,
    parity: Parity,
    turns: Sequence[Turn],
    *,
    version: int,
    before_pass: Callable[[], None],
) -> StepReport:
    """Trains on a batch's turns once.

    Args:    version: the trainer's, before the step; before_pass: called before each forward or backward pass, may
             raise to abandon the step (no weight has moved before its end).
    Raises:  RejectedError: the batch's gradient is not finite; no weight has moved.
    """
    rewards = [turn.reward for turn in turns if turn.reward is not None]
    mean_reward = _mean(rewards) if rewards else 0.0
    step = _Step(backend, objective, parity, version, mean_reward=mean_reward, before_pass=before_pass)
    rejected: list[Rejected] = []
    for turn in turns:
        try:
            step.train(turn)
        except RejectedError as error:
            rejected.append(Rejected(turn=turn, error=error))
    if not step.trained:
        return StepReport(trained=(), rejected=tuple(rejected), metrics={})
    grad_norm = backend.step(len(step.trained))
    metrics = {"grad_norm": grad_norm, **step.metrics()}
    return StepReport(trained=tuple(step.trained), rejected=tuple(rejected), metrics=metrics)


class _Step:
    """The turns of one step so far, and what was measured on them."""

    def __init__(
        self,
        backend: Backend,
        objective: Objective,
        parity: Parity,
        version: int,
        *,
        mean_reward: float,
        before_pass: Callable[[], None],
    ) -> None:
        self.trained: list[Turn] = []
        self._backend = backend
        self._objective = objective
        self._parity = parity
        self._version = version
        self._mean_reward = mean_reward
        self._before_pass = before_pass
        self._num_rescored = 0
        self._differences: list[Tensor] = []  # [T] each: |engine - trainer|
        self._by_turn: dict[str, list[float]] = defaultdict(list)

    def train(self, turn: Turn) -> None:
        """Adds one turn's gradient.

        Raises:  RejectedError: its loss is not finite; nothing was added.
        """
        tensors = self._tensors(turn)
        terms = self._objective.terms(tensors)
        loss = terms.loss_T.sum() / tensors.mask_T.sum()
        if not bool(loss.isfinite()):
            message = f"Sample {turn.sample_id} has an infinite loss; its log-probs are not those of this policy."
            raise RejectedError(message)
        self._before_pass()
        self._backend.backward(loss)
        self._compare(turn, tensors)
        for name, value in {"loss": float(loss.detach()), **terms.metrics}.items():
            self._by_turn[name].append(value)
        self.trained.append(turn)

    def metrics(self) -> dict[str, float]:
        """Means over the turns that have a number for it; what nothing was measured of is left out, never 0."""
        staleness = [float(self._version - turn.oldest_version) for turn in self.trained]
        rewards = [turn.reward for turn in self.trained if turn.reward is not None]
        num_tokens = sum(len(turn.engine_logprobs_T) for turn in self.trained)
        metrics = {name: _mean(values) for name, values in self._by_turn.items()}
        metrics |= {"staleness_mean": _mean(staleness), "staleness_max": max(staleness)}
        metrics |= {"num_turns": float(len(self.trained)), "num_tokens": float(num_tokens)}
        if rewards:
            metrics["reward_mean"] = _mean(rewards)
        if self._differences:
            differences = torch.cat(self._differences)
            metrics |= {"parity_mean": float(differences.mean()), "parity_max": float(differences.max())}
        return metrics

    def _tensors(self, turn: Turn) -> TurnTensors:
        teachers: list[Tensor] = []
        if self._objective.needs_teacher(has_hints=bool(turn.teachers), reward=turn.reward):
            for hinted in turn.teachers:
                self._before_pass()
                teachers.append(self._backend.teacher(hinted))
        self._before_pass()
        return TurnTensors(
            student_logprobs_TV=self._backend.student(turn.response),
            teacher_logprobs_HTV=teachers,
            response_ids_T=turn.response.response_ids_T.long(),
            engine_logprobs_T=turn.engine_logprobs_T,
            mask_T=torch.ones(len(turn.engine_logprobs_T), dtype=torch.bool),
            reward=turn.reward,
            mean_reward=self._mean_reward,
        )

    def _compare(self, turn: Turn, tensors: TurnTensors) -> None:
        trainer_T: Tensor | None = None
        if turn.oldest_version == self._version:
            logprobs_TV = tensors.student_logprobs_TV.detach()
            trainer_T = logprobs_TV.gather(-1, tensors.response_ids_T[:, None])[:, 0]
        elif self._num_rescored < NUM_RESCORED_TURNS:
            self._num_rescored += 1
            self._before_pass()
            trainer_T = self._parity.rescore(turn)
        if trainer_T is not None:
            self._differences.append((trainer_T - turn.engine_logprobs_T).abs())


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
