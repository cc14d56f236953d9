"""`summed`: the terms of a turn as one loss per token, computed on the tokens that train and on no others.

Owns what every method shares: weights, means, and the exact 0 of a token that does not train. Consumes a turn and the
function that yields its terms; produces `TokenTerms`. Rows that do not train are taken out before any term is computed
and come back as zeros. Multiplying by the mask afterwards is the naive form: what was recorded for such a token may be
anything, one exp of it is inf, and inf times 0 is NaN in the gradient of every weight.

Legend: T response tokens, V vocabulary. Losses in nats per token.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from trainer.objectives.base import TokenTerms, TurnTensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One part of a method's loss."""

    name: str
    weight: float = 1.0
    loss_T: Tensor  # with gradient, before the weight
    metrics: dict[str, float] = field(default_factory=dict)


def summed(turn: TurnTensors, kept_T: Tensor, terms: Callable[[TurnTensors], Iterable[Term]]) -> TokenTerms:
    """The weighted sum of what `terms` yields for the kept rows of a turn.

        L_t = sum over terms of  weight * loss_t   where kept, else exactly 0 in value and gradient

    Metrics hold each term's mean over kept rows before its weight as `<name>_loss`, none where no row is kept; and
    `stale_dropped`, the share of the mask's tokens that were not kept, of a turn that lost any.

    Args:    kept_T: [T] bool.
    Returns: loss [T] in nats, in the place of each token.
    """
    losses_T = turn.student_logprobs_TV.new_zeros(len(kept_T))
    num_dropped = int(turn.mask_T.sum() - kept_T.sum())
    metrics = {"stale_dropped": num_dropped / int(turn.mask_T.sum())} if num_dropped else {}
    for term in terms(_rows(turn, kept_T)):
        losses_T = losses_T + losses_T.new_zeros(len(kept_T)).masked_scatter(kept_T, term.weight * term.loss_T)
        if len(term.loss_T):
            metrics |= {f"{term.name}_loss": mean(term.loss_T), **term.metrics}
    return TokenTerms(loss_T=losses_T, metrics=metrics)


def drawn(logprobs_TV: Tensor, ids_T: Tensor) -> Tensor:
    """[T] log-prob of the token that was drawn at each position."""
    return logprobs_TV.gather(-1, ids_T[:, None])[:, 0]


def mean(values_T: Tensor) -> float:
    """As a number; nan of no token, which `summed` does not report."""
    return float(values_T.detach().float().mean())


def _rows(turn: TurnTensors, kept_T: Tensor) -> TurnTensors:
    if bool(kept_T.all()):
        return turn  # a copy of [T, V] is 200 kB per token, and mostly every token trains
    reference_TV = turn.reference_logprobs_TV
    return replace(
        turn,
        student_logprobs_TV=turn.student_logprobs_TV[kept_T],
        response_ids_T=turn.response_ids_T[kept_T],
        engine_logprobs_T=turn.engine_logprobs_T[kept_T],
        staleness_T=turn.staleness_T[kept_T],
        mask_T=turn.mask_T[kept_T],
        teacher_logprobs_HTV=[teacher_TV[kept_T] for teacher_TV in turn.teacher_logprobs_HTV],
        reference_logprobs_TV=None if reference_TV is None else reference_TV[kept_T],
    )
