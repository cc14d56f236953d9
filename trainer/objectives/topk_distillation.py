"""`TopKDistillation`: a hinted teacher's whole distribution, by its top k tokens and the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trainer.objectives.advantages import Unrewarded
from trainer.objectives.distillation import TopK, binned_reverse_kl, subset_ids
from trainer.objectives.hints import HintSelection, choose_hint
from trainer.objectives.reference import ReferenceKL, reference_terms
from trainer.objectives.staleness import WeighedStaleTokens, importance, kept
from trainer.objectives.terms import Term, summed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainer.objectives.base import Pass, Signals, TokenTerms, TurnTensors


class TopKDistillation(Unrewarded, TopK, WeighedStaleTokens, ReferenceKL):
    """`name = "topk_distillation"`: self-distillation in the manner of SDFT and SDPO.

        L_t = w_t * sum over K + 1 bins of p_b * (log p_b - log q_b)  +  kl_weight * KL_t;  p student, q hinted teacher

    Trains turns with a hint; rewards are not read. The naive form has no bin for the rest (distillation.py says what
    comes of it). Unlike `hybrid` nothing is clipped and all of p is differentiated, so the minimum is the teacher
    itself: one that opens with an apology because the hint complains is copied with its apology.

    Shapes:  [T] nats per token. Source: arXiv:2603.10165 v2, section "Top-k distillation".
    """

    name: Literal["topk_distillation"] = "topk_distillation"
    hint_selection: HintSelection = "sequence_optimal"  # which of a turn's hints teaches
    subset: Literal["student", "teacher"] = "student"  # whose top k tokens have a bin of their own

    def passes(self, signals: Signals) -> frozenset[Pass]:
        """The student's and the teacher's, of a turn with a hint."""
        return self.asked("student", "teacher") if signals.has_hints else frozenset()

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The divergence and the KL to the base."""
        return summed(turn, kept(turn, self), self._terms)

    def _terms(self, turn: TurnTensors) -> Iterator[Term]:
        hint = choose_hint(turn, self.hint_selection, self.top_k)
        ids_TK, _ = subset_ids(hint.student_TK, hint.teacher_TK, self.subset)
        kl_T = binned_reverse_kl(turn.student_logprobs_TV, hint.logprobs_TV, ids_TK)
        yield Term(name="opd", loss_T=importance(turn, self) * kl_T, metrics={"hint_overlap": hint.overlap})
        yield from reference_terms(turn, self)
