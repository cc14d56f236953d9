"""`GRPO`: several tries at one task, each judged against the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from trainer.objectives.advantages import group_advantages
from trainer.objectives.policy_gradient import Clip, policy_term
from trainer.objectives.reference import ReferenceKL, reference_terms
from trainer.objectives.staleness import StaleTokens, kept
from trainer.objectives.terms import Term, summed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trainer.objectives.base import Pass, Signals, TokenTerms, TurnTensors


class GRPO(Clip, StaleTokens, ReferenceKL):
    """`name = "grpo"`: group-relative policy gradient on process plus outcome rewards, for agents that can try again.

        L_t = -min(rho_t * A, clip(rho_t) * A) + kl_weight * KL_t,
        A = z-score of (reward + outcome) within (group_id, step), the same for all T tokens

    Trains turns that have a group and a reward or an outcome. A group of one, or one whose members did equally well,
    has A = 0: its turns run, move nothing, and show in the metric `zero_advantage`. Live conversations have no groups,
    so they have no term here (use `binary_rl`). Giving them A = r inside the same batch, the naive form, would let one
    verdict outweigh a whole group of z-scores. A batch must hold a group together: siblings that were packed into
    another batch are not seen.

    Shapes:  [T] nats per token. Source: arXiv:2402.03300 section 4.1; arXiv:2603.10165, section "General agents".
    """

    name: Literal["grpo"] = "grpo"

    def passes(self, signals: Signals) -> frozenset[Pass]:
        """The student's, of a turn that has siblings and something to compare."""
        has_reward = signals.reward is not None or signals.outcome is not None
        return self.asked("student") if has_reward and signals.group_id is not None else frozenset()

    def advantages(self, turns: Sequence[Signals], past_rewards: Sequence[float]) -> list[float | None]:  # noqa: ARG002
        """Z-scores within each group of this batch."""
        return group_advantages(turns)

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The policy loss and the KL to the base."""
        return summed(turn, kept(turn, self), self._terms)

    def _terms(self, turn: TurnTensors) -> Iterator[Term]:
        if turn.advantage is not None:
            policy = policy_term(turn, turn.advantage, self)
            yield replace(policy, metrics={**policy.metrics, "zero_advantage": float(turn.advantage == 0)})
        yield from reference_terms(turn, self)
