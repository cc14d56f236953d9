"""`Combined`: verdict and hint in one advantage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trainer.objectives.advantages import Baseline
from trainer.objectives.opd import hint_advantage
from trainer.objectives.policy_gradient import Clip, policy_term
from trainer.objectives.reference import ReferenceKL, reference_terms
from trainer.objectives.staleness import StaleTokens, kept
from trainer.objectives.terms import Term, summed
from trainer.objectives.weights import SignalWeights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from trainer.objectives.base import Pass, Signals, TokenTerms, TurnTensors


class Combined(Baseline, Clip, StaleTokens, SignalWeights, ReferenceKL):
    """`name = "combined"`: version 1 of the paper.

        L_t = -min(rho_t * A_t, clip(rho_t) * A_t) + kl_weight * KL_t,
        A_t = rl_weight * (reward - baseline) + opd_weight * (log pi_teacher(a_t | s + hint) - log pi_old(a_t | s))

    Trains turns with a reward, a hint, or both; what a turn lacks adds nothing to A. The two parts share one clip: two
    clipped losses added (the naive form) would each stop at its own bound, and where the parts disagree about a token
    one would go on after their sum had been satisfied. Nats and verdicts are added as they are: a token that the
    teacher finds impossible (-15 nats) silences any verdict.

    Shapes:  [T] nats per token. Source: arXiv:2603.10165 v1, section "Combined".
    """

    name: Literal["combined"] = "combined"

    def passes(self, signals: Signals) -> frozenset[Pass]:
        """The truth table of the paper, row by row."""
        return self.asked(*self.own_passes(signals))

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The policy loss of the summed advantage and the KL to the base."""
        return summed(turn, kept(turn, self), self._terms)

    def _terms(self, turn: TurnTensors) -> Iterator[Term]:
        yield policy_term(turn, self._advantage(turn), self, name="combined")
        yield from reference_terms(turn, self)

    def _advantage(self, turn: TurnTensors) -> float | Tensor:
        verdict = self.rl_weight * (turn.advantage or 0.0)
        distils = turn.teacher_logprobs_HTV and self.opd_weight > 0
        return verdict + self.opd_weight * hint_advantage(turn) if distils else verdict
