"""`Objective`: what a training method is to the loop: which passes it reads, what a turn is worth, and its terms.

Owns the contract between loop and methods. Per batch the loop tells the objective what is known of each turn
(`Signals`), runs the passes that it asks for, and brings each turn as `TurnTensors`; the objective answers one loss per
response token, the loop makes the mean over a turn's tokens and then over turns. It never looks inside a method.

Legend: T response tokens, V vocabulary, H hints. All log-probs are natural logarithms (nats) at the recorded
temperature, so the student's and the engine's are those of the same distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # settings are read by commands that must not wait for torch
    from collections.abc import Sequence

    from torch import Tensor

# student: the trained policy, with gradient. teacher: the frozen base, once per hinted prompt. reference: the frozen
# base on the turn's own prompt.
Pass = Literal["student", "teacher", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What is known of a turn before any pass."""

    has_hints: bool
    reward: float | None  # None: the verdict does not reward
    outcome: float | None = None  # of the whole episode, from a verifier
    group_id: str | None = None  # siblings of one task
    step: int | None = None  # position in the episode


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTensors:
    """One turn as an objective sees it. Row t of every tensor is about response token t."""

    student_logprobs_TV: Tensor  # float32 with gradient, log_softmax(logits / temperature) of the trained policy
    response_ids_T: Tensor  # int64
    engine_logprobs_T: Tensor  # float32, no gradient, as recorded when the token was drawn; off policy: as scored
    staleness_T: Tensor  # int64, versions between the one that drew the token and the one that trains
    mask_T: Tensor  # bool, False where a token must not train
    advantage: float | None  # of the whole turn, from `Objective.advantages`; None: nothing to reward
    is_off_policy: bool = False  # nobody knows how the tokens were drawn; a version of ours has scored them
    teacher_logprobs_HTV: Sequence[Tensor] = ()  # H tensors [T, V], no gradient: the frozen base reading hint h
    num_hint_tokens: Sequence[int] = ()  # H lengths of the hinted prompts, for rules that choose by length
    reference_logprobs_TV: Tensor | None = None  # no gradient: the frozen base without a hint


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTerms:
    """What a turn costs: `loss_T` float32 with gradient, exactly 0 where a token does not train; metrics are means."""

    loss_T: Tensor
    metrics: dict[str, float]


class Objective(Protocol):
    """A training method: frozen parameters and pure functions."""

    @property
    def name(self) -> str:
        """The method's name in settings and in CheckpointPublished."""

    def passes(self, signals: Signals) -> frozenset[Pass]:
        """The forward passes that `terms` reads for such a turn; empty where the method has no term for it."""

    def advantages(self, turns: Sequence[Signals], past_rewards: Sequence[float]) -> list[float | None]:
        """What each turn of a batch is worth, seen beside the others.

        Args:    past_rewards: mean reward of each earlier batch, oldest first.
        """

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The loss of each response token of one turn."""
