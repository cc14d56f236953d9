"""`Objective`: what a training method is to the loop: two questions and one function of tensors.

Owns the contract between loop and methods. The loop brings each turn as `TurnTensors`, the objective answers one loss
per response token, the loop makes the mean over a turn's tokens and then over turns. It never looks inside a method.

Legend: T response tokens, V vocabulary, H hints. All log-probs are natural logarithms (nats) at the recorded
temperature, so the student's and the engine's are those of the same distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # settings are read by commands that must not wait for torch
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTensors:
    """One turn as an objective sees it. Row t of every tensor is about response token t."""

    student_logprobs_TV: Tensor  # float32 with gradient, log_softmax(logits / temperature) of the trained policy
    teacher_logprobs_HTV: Sequence[Tensor]  # H tensors [T, V], no gradient: the frozen base reading hint h
    response_ids_T: Tensor  # int64
    engine_logprobs_T: Tensor  # float32, no gradient, as recorded when the token was drawn
    mask_T: Tensor  # bool, False where a token must not train
    reward: float | None  # None: the verdict does not reward
    mean_reward: float = 0.0  # over the rewarded turns of the batch: what an objective may measure this one against


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTerms:
    """What a turn costs: `loss_T` float32 with gradient, exactly 0 where masked; metrics are means over its tokens."""

    loss_T: Tensor
    metrics: dict[str, float]


class Objective(Protocol):
    """A training method: frozen parameters and pure functions."""

    @property
    def name(self) -> str:
        """The method's name in settings and in CheckpointPublished."""

    def trains(self, *, has_hints: bool, reward: float | None) -> bool:
        """Whether a turn with these signals can move the weights at all."""

    def needs_teacher(self, *, has_hints: bool, reward: float | None) -> bool:
        """Whether `terms` reads the teacher; each hint costs one forward pass."""

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The loss of each response token of one turn."""
