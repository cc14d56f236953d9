"""`train_step`: one optimizer step on the turns of one batch, blind to the method that it trains.

Consumes turns, a backend and an objective; produces moved weights and a report. Per group of turns, those that the
backend computes together: the passes that the objective reads; per turn: the objective's loss per token and its mean
over the turn's tokens; per group: its gradient. The step follows the mean over turns, so a long answer counts as much
as a short one.

All student passes run under the weights at the step's start, so comparing them with the engine costs nothing, and
neither does scoring what came unscored: this is where imported turns get their log-probs, and only those that train.
Legend: T response tokens, V vocabulary.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from schemas.errors import RejectedError
from streams.version_line import VersionLine
from trainer.backends.base import Backend, Response
from trainer.batches import Rejected, Turn
from trainer.objectives.base import Objective, Pass, TurnTensors
from trainer.objectives.terms import drawn
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
    line: VersionLine,
    past_rewards: Sequence[float],
    before_pass: Callable[[], None],
) -> StepReport:
    """Trains on a batch's turns once.

    Args:    line: of the policy, its head being the trainer's version before the step; past_rewards: mean reward of
             each earlier batch, oldest first; before_pass: called before each forward or backward pass, may raise to
             abandon the step (no weight has moved before its end).
    Raises:  RejectedError: the batch's gradient is not finite; no weight has moved.
    """
    advantages = objective.advantages([turn.signals for turn in turns], past_rewards)
    credited = [_Credited(place, *pair) for place, pair in enumerate(zip(turns, advantages, strict=True))]
    step = _Step(backend, objective, parity, line, before_pass)
    for group in backend.groups([turn.response for turn in turns], frozen=False):
        step.train([credited[number] for number in group])
    trained, rejected = step.trained(), step.rejected()
    if not trained:
        return StepReport(trained=(), rejected=rejected, metrics={})
    grad_norm = backend.step(len(trained))
    return StepReport(trained=trained, rejected=rejected, metrics={"grad_norm": grad_norm, **step.metrics()})


@dataclass(frozen=True, slots=True)
class _Credited:
    place: int  # in the batch; groups have an order of their own
    turn: Turn
    advantage: float | None


class _Step:
    """The turns of one step so far, and what was measured on them."""

    def __init__(
        self, backend: Backend, objective: Objective, parity: Parity, line: VersionLine, before_pass: Callable[[], None]
    ) -> None:
        self._trained: dict[int, Turn] = {}  # by place
        self._rejected: dict[int, Rejected] = {}
        self._backend = backend
        self._objective = objective
        self._parity = parity
        self._line = line
        self._version = line.head
        self._before_pass = before_pass
        self._num_rescored = 0
        self._differences: list[Tensor] = []  # [T] each: |engine - trainer|
        self._by_turn: dict[str, list[float]] = defaultdict(list)

    def train(self, group: Sequence[_Credited]) -> None:
        """Adds the gradient of turns that share their passes; a turn whose loss is not finite is rejected instead."""
        losses: list[Tensor] = []
        for one, tensors in self._tensors(group):
            turn = one.turn
            terms = self._objective.terms(tensors)
            loss = terms.loss_T.sum() / tensors.mask_T.sum()
            if not bool(loss.isfinite()):
                message = f"Sample {turn.sample_id} has an infinite loss; its log-probs are not those of this policy."
                self._rejected[one.place] = Rejected(turn=turn, error=RejectedError(message))
                continue
            losses.append(loss)
            self._compare(turn, tensors)
            for name, value in {"loss": float(loss.detach()), **terms.metrics}.items():
                self._by_turn[name].append(value)
            self._trained[one.place] = turn
        if losses:
            self._before_pass()
            self._backend.backward(torch.stack(losses).sum())

    def trained(self) -> tuple[Turn, ...]:
        """In the batch's order."""
        return tuple(self._trained[place] for place in sorted(self._trained))

    def rejected(self) -> tuple[Rejected, ...]:
        """In the batch's order."""
        return tuple(self._rejected[place] for place in sorted(self._rejected))

    def metrics(self) -> dict[str, float]:
        """Means over the turns that have a number for it; what nothing was measured of is left out, never 0."""
        turns = self.trained()
        staleness = [float(self._line.behind(turn.oldest_version)) for turn in turns if not turn.is_unscored]
        rewards = [turn.reward for turn in turns if turn.reward is not None]
        num_tokens = sum(len(turn.response.response_ids_T) for turn in turns)
        metrics = {name: _mean(values) for name, values in self._by_turn.items()}
        metrics |= {"num_turns": float(len(turns)), "num_tokens": float(num_tokens)}
        if staleness:
            metrics |= {"staleness_mean": _mean(staleness), "staleness_max": max(staleness)}
        if num_scored := len(turns) - len(staleness):
            metrics["num_scored_turns"] = float(num_scored)
        if rewards:
            metrics["reward_mean"] = _mean(rewards)
        if self._differences:
            differences = torch.cat(self._differences)
            metrics |= {"parity_mean": float(differences.mean()), "parity_max": float(differences.max())}
        return metrics

    def _tensors(self, group: Sequence[_Credited]) -> Iterator[tuple[_Credited, TurnTensors]]:
        passes = [self._objective.passes(each.turn.signals) for each in group]
        pairs = list(zip(group, passes, strict=True))
        frozen = self._run([each for one, asked in pairs for each in _frozen(one.turn, asked)], frozen=True)
        moved = self._run([each.turn.response for each in group], frozen=False)
        for one, asked in pairs:
            student_TV = next(moved)
            turn = _scored(one.turn, student_TV, self._version)
            teachers = turn.teachers if "teacher" in asked else ()
            yield (
                one,
                TurnTensors(
                    student_logprobs_TV=student_TV,
                    teacher_logprobs_HTV=list(islice(frozen, len(teachers))),
                    num_hint_tokens=[len(teacher.prompt_ids_P) for teacher in teachers],
                    reference_logprobs_TV=next(frozen) if "reference" in asked else None,
                    response_ids_T=turn.response.response_ids_T.long(),
                    engine_logprobs_T=turn.engine_logprobs_T,
                    staleness_T=self._staleness(turn.versions_T),
                    mask_T=torch.ones(len(turn.engine_logprobs_T), dtype=torch.bool),
                    advantage=one.advantage,
                    is_off_policy=turn.is_off_policy,
                ),
            )

    def _staleness(self, versions_T: Tensor) -> Tensor:
        versions = versions_T.tolist()
        behind = {version: self._line.behind(version) for version in set(versions)}
        return torch.tensor([behind[version] for version in versions], dtype=torch.int64)

    def _run(self, asked: Sequence[Response], *, frozen: bool) -> Iterator[Tensor]:
        passes = self._backend.base if frozen else self._backend.student
        found: dict[int, Tensor] = {}
        for group in self._backend.groups(asked, frozen=frozen):
            self._before_pass()
            found |= zip(group, passes([asked[number] for number in group]), strict=True)
        return iter([found[number] for number in range(len(asked))])

    def _compare(self, turn: Turn, tensors: TurnTensors) -> None:
        if turn.is_off_policy:  # no engine said anything about it
            return
        trainer_T: Tensor | None = None
        if turn.logprob_origin != "engine":  # no version of this policy drew its tokens
            return
        if turn.oldest_version == self._version:
            trainer_T = drawn(tensors.student_logprobs_TV.detach(), tensors.response_ids_T)
        elif self._num_rescored < NUM_RESCORED_TURNS:
            self._num_rescored += 1
            self._before_pass()
            trainer_T = self._parity.rescore(turn)
        if trainer_T is not None:
            self._differences.append((trainer_T - turn.engine_logprobs_T).abs())


def _frozen(turn: Turn, asked: Set[Pass]) -> list[Response]:
    """What the frozen base reads for a turn, in the order in which `_tensors` takes it."""
    return [*(turn.teachers if "teacher" in asked else ()), *((turn.response,) if "reference" in asked else ())]


def _scored(turn: Turn, student_TV: Tensor, version: int) -> Turn:
    """The turn with log-probs: an unscored one is scored by the version whose pass this is."""
    if not turn.is_unscored:
        return turn
    logprobs_T = drawn(student_TV.detach(), turn.response.response_ids_T.long())
    return replace(turn, engine_logprobs_T=logprobs_T, versions_T=torch.full(logprobs_T.shape, version))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
