"""`Hybrid`: the policy loss of the verdict plus the top-k distillation of the hint, the paper's best method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainer.objectives.advantages import Baseline
from trainer.objectives.distillation import Subset, TopK, clipped_gap, subset_ids
from trainer.objectives.hints import HintSelection, choose_hint
from trainer.objectives.policy_gradient import Clip, policy_term
from trainer.objectives.reference import ReferenceKL, reference_terms
from trainer.objectives.staleness import WeighedStaleTokens, importance, kept
from trainer.objectives.terms import Term, summed
from trainer.objectives.weights import SignalWeights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainer.objectives.base import Pass, Signals, TokenTerms, TurnTensors


class Hybrid(Baseline, Clip, TopK, WeighedStaleTokens, SignalWeights, ReferenceKL):
    """`name = "hybrid"`: version 2 of the paper.

        L_t = rl_weight * policy_term_t  +  opd_weight * w_t * clipped_gap_t  +  kl_weight * KL_t

    Trains turns with a reward (the first part), a hint (the second), or both. Each part has its formula where it is
    defined (policy_gradient.py, distillation.py; w_t: staleness.py). They are two losses, not one advantage: the
    verdict speaks of the drawn token, the hint of K tokens at each position, and with one shared advantage (`combined`,
    the naive form) the K - 1 tokens that were not drawn have no say.

    Shapes:  [T] nats per token. Source: arXiv:2603.10165 v2, section "Hybrid".
    """

    name: Literal["hybrid"] = "hybrid"
    rl_weight: float = Field(default=0.5, ge=0)  # of the verdict's policy loss; 0: distillation only
    hint_selection: HintSelection = "sequence_optimal"  # which of a turn's hints teaches
    subset: Subset = "teacher"  # whose top k tokens are distilled at each position; the paper's default is student
    advantage_clip: float = Field(default=1.0, gt=0)  # nats; bound of a token's distillation advantage

    def passes(self, signals: Signals) -> frozenset[Pass]:
        """The truth table of the paper, row by row."""
        return self.asked(*self.own_passes(signals))

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The sum of the parts that this turn has."""
        return summed(turn, kept(turn, self), self._terms)

    def _terms(self, turn: TurnTensors) -> Iterator[Term]:
        if turn.advantage is not None and self.rl_weight > 0:
            yield policy_term(turn, turn.advantage, self, weight=self.rl_weight)
        if turn.teacher_logprobs_HTV and self.opd_weight > 0:
            hint = choose_hint(turn, self.hint_selection, self.top_k)
            ids_TK, counts_TK = subset_ids(hint.student_TK, hint.teacher_TK, self.subset)
            gap_T = clipped_gap(turn.student_logprobs_TV, hint.logprobs_TV, ids_TK, counts_TK, self.advantage_clip)
            loss_T = importance(turn, self) * gap_T
            yield Term(name="opd", weight=self.opd_weight, loss_T=loss_T, metrics={"hint_overlap": hint.overlap})
        yield from reference_terms(turn, self)
