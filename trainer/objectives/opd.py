"""`OPD`: what a hint would have changed, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from trainer.objectives.advantages import Unrewarded
from trainer.objectives.hints import longest_hint
from trainer.objectives.policy_gradient import Clip, policy_term
from trainer.objectives.reference import ReferenceKL, reference_terms
from trainer.objectives.staleness import StaleTokens, kept
from trainer.objectives.terms import Term, drawn, summed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from trainer.objectives.base import Pass, Signals, TokenTerms, TurnTensors


class OPD(Unrewarded, Clip, StaleTokens, ReferenceKL):
    """`name = "opd"`: hindsight-guided on-policy distillation of the drawn tokens, version 1 of the paper.

        L_t = -min(rho_t * A_t, clip(rho_t) * A_t) + kl_weight * KL_t,
        A_t = log pi_teacher(a_t | s + hint) - log pi_old(a_t | s)

    Trains turns with a hint; of several the longest teaches. As a form of distillation it is the naive form: it speaks
    only of tokens that were drawn. What the hint would have said instead is seen once the policy happens to draw it, so
    a rare rule is learned late; `hybrid` looks at the top k.

    Shapes:  [T] nats per token. Source: arXiv:2603.10165 v1, section "OPD".
    """

    name: Literal["opd"] = "opd"

    def passes(self, signals: Signals) -> frozenset[Pass]:
        """The student's and the teacher's, of a turn with a hint."""
        return self.asked("student", "teacher") if signals.has_hints else frozenset()

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The policy loss of the hint's advantage and the KL to the base."""
        return summed(turn, kept(turn, self), self._terms)

    def _terms(self, turn: TurnTensors) -> Iterator[Term]:
        yield policy_term(turn, hint_advantage(turn), self, name="opd")
        yield from reference_terms(turn, self)


def hint_advantage(turn: TurnTensors) -> Tensor:
    """[T] nats, no gradient: how much likelier the hint makes each drawn token.

        A_t = log pi_teacher(a_t | s + hint) - log pi_old(a_t | s)

    pi_old is the student at the start of the step. With the engine's log-prob in its place (the naive form), a stale
    token is pushed again where the policy has gone since; off policy, the ratio corrects who drew the token, and A
    says what is still missing. A hint that changes nothing has A = 0 exactly.
    """
    student_T = drawn(turn.student_logprobs_TV, turn.response_ids_T).detach()
    return drawn(longest_hint(turn), turn.response_ids_T) - student_T
