"""`reference_terms`: the KL to the frozen base, for every method that sets `kl_weight`.

Legend: T response tokens. Losses in nats per token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from trainer.objectives.terms import Term, drawn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from trainer.objectives.base import Pass, TurnTensors


class ReferenceKL(BaseModel):
    """How much it costs to leave the base model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kl_weight: float = Field(default=0.0, ge=0)  # of the KL to the frozen base; 0: not computed; one pass more per turn

    def asked(self, *own: Pass) -> frozenset[Pass]:
        """A method's own passes, and "reference" where there are any and the KL needs it: it is no lesson itself."""
        return frozenset({*own, "reference"} if own and self.kl_weight > 0 else own)


def reference_terms(turn: TurnTensors, settings: ReferenceKL) -> Iterator[Term]:
    """The term "kl", where it has a weight.

    Raises:  ValueError: the pass "reference" was asked for and has not run.
    """
    if settings.kl_weight == 0:
        return
    if turn.reference_logprobs_TV is None:
        raise ValueError("kl_weight is above 0, but the turn has no reference pass.")
    student_T = drawn(turn.student_logprobs_TV, turn.response_ids_T)
    reference_T = drawn(turn.reference_logprobs_TV, turn.response_ids_T)
    yield Term(name="kl", weight=settings.kl_weight, loss_T=low_variance_kl(student_T, reference_T))


def low_variance_kl(student_T: Tensor, reference_T: Tensor) -> Tensor:
    """An estimate of KL(student || reference) from the drawn token alone.

        exp(d) - d - 1,   d = log pi_ref(a_t) - log pi_theta(a_t)

    The naive estimate -d has the same mean but is negative half of the time; as a loss its gradient does not depend on
    the reference at all, and just makes every drawn token unlikelier. This one is never negative, 0 only at d = 0, and
    its gradient, (1 - exp(d)) d log pi_theta, pulls back on both sides.

    Args:    both [T], log-probs of the drawn tokens; student_T with gradient.
    Returns: [T].
    Source:  "k3" of J. Schulman, Approximating KL Divergence, 2020; as in GRPO, arXiv:2402.03300 eq. 4.
    """
    gap_T = reference_T - student_T
    return gap_T.exp() - gap_T - 1
