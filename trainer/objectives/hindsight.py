"""`Hindsight`: verdict, hint, and the answer that the user accepted in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainer.objectives.distillation import forward_kl
from trainer.objectives.hints import ChosenHint, choose_hint
from trainer.objectives.hybrid import VerdictAndHint
from trainer.objectives.policy_gradient import policy_term
from trainer.objectives.reference import reference_terms
from trainer.objectives.staleness import importance, kept
from trainer.objectives.terms import Term, drawn, summed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from trainer.objectives.base import Pass, Signals, TokenTerms, TurnTensors


class Hindsight(VerdictAndHint):
    """`name = "hindsight"`: the verdict, and whole distributions of who knew better.

        L_t = rl_weight * policy_term_t  +  opd_weight * w_t * KL_t(teacher || student)
              +  retry_weight * KL_t(base || student of the corrected turn)  +  kl_weight * KL_t to the base

    Trains turns with a reward (the first part), a hint or examples (the second), an accepted retry (the third), or
    several. The teacher is the frozen base that has read the hint, or the answers that the user liked; each KL is over
    all of V (`forward_kl`). The paper's clipped gap on k tokens (the naive form) has a bound, but no least: it pushes
    the same tokens as far in the tenth batch as in the first.

    When a user corrects an answer and accepts the next one, that next one is what should have been said at once; it is
    on policy, in the user's own case, and costs no sample. At each of its tokens a_t the student that reads the first
    question only, pi(v | prompt of the corrected turn, a_<t), is moved towards what the frozen base says that has read
    the complaint, too, pi_base(v | own prompt, a_<t). Trained under its own prompt (the naive form) a retry teaches to
    obey complaints and not to avoid them. The likelihood of its tokens (the other naive form) goes on sharpening tokens
    that were drawn by chance until the others babble.

    `negative = "teacher_agrees"` keeps a negative advantage only on tokens that the hinted teacher, too, finds less
    likely than the student does; the broadcast -1 flattens good tokens otherwise. Without a teacher nobody can be
    asked, and all tokens take it.

    Shapes:  [T] nats per token. Source: ours; the policy term and the choice of a hint as in `hybrid`.
    """

    name: Literal["hindsight"] = "hindsight"
    opd_weight: float = Field(default=4.0, ge=0)  # of the hint's divergence; 0: not computed
    retry_weight: float = Field(default=4.0, ge=0)  # of an accepted retry's divergence; 0: not computed
    negative: Literal["all", "teacher_agrees"] = "all"  # the tokens that a negative advantage reaches

    def passes(self, signals: Signals) -> frozenset[Pass]:
        """Those of `hybrid`, and the retry's where the turn is one."""
        own = self.own_passes(signals)
        if "student" in own and signals.has_teacher and self.negative == "teacher_agrees":
            own |= {"teacher"}  # asked whether it agrees, even where its hint is not distilled
        if signals.is_retry and self.retry_weight > 0:
            own |= {"student", "retry", "reference"}
        return self.asked(*own)

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The sum of the parts that this turn has."""
        return summed(turn, kept(turn, self), self._terms)

    def _terms(self, turn: TurnTensors) -> Iterator[Term]:
        hint = choose_hint(turn, self.hint_selection, self.top_k) if turn.teacher_logprobs_HTV else None
        if turn.advantage is not None and self.rl_weight > 0:
            yield policy_term(turn, self._advantage(turn, turn.advantage, hint), self, weight=self.rl_weight)
        if hint is not None and self.opd_weight > 0:
            loss_T = importance(turn, self) * forward_kl(hint.logprobs_TV, turn.student_logprobs_TV)
            yield Term(name="opd", weight=self.opd_weight, loss_T=loss_T, metrics={"hint_overlap": hint.overlap})
        if turn.retry_logprobs_TV is not None and self.retry_weight > 0:
            if turn.reference_logprobs_TV is None:
                raise ValueError("retry_weight is above 0, but the retry has no reference pass.")
            loss_T = forward_kl(turn.reference_logprobs_TV, turn.retry_logprobs_TV)
            yield Term(name="retry", weight=self.retry_weight, loss_T=loss_T)
        yield from reference_terms(turn, self)

    def _advantage(self, turn: TurnTensors, advantage: float, hint: ChosenHint | None) -> float | Tensor:
        if hint is None or advantage >= 0 or self.negative == "all":
            return advantage
        return agreed(turn, advantage, hint)


def agreed(turn: TurnTensors, advantage: float, hint: ChosenHint) -> Tensor:
    """[T], no gradient: a negative advantage where the teacher finds the drawn token less likely, 0 elsewhere.

    A_t = advantage * [log pi_teacher(a_t) < log pi_old(a_t)];   pi_old: the student at the start of the step
    """
    student_T = drawn(turn.student_logprobs_TV, turn.response_ids_T).detach()
    return advantage * (drawn(hint.logprobs_TV, turn.response_ids_T) < student_T).to(student_T.dtype)
