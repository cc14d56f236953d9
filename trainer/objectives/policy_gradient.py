"""`policy_term`: the clipped policy gradient of PPO, for an advantage per turn or per token.

Owns the ratio to what the engine drew and its two bounds. Legend: T response tokens. Losses in nats per token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from trainer.objectives.staleness import own_share
from trainer.objectives.terms import Term, drawn, mean

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.objectives.base import TurnTensors


class Clip(BaseModel):
    """How far a ratio may go before a token stops training."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    clip_low: float = Field(default=0.2, ge=0, lt=1)  # the ratio's lower bound is 1 - this
    clip_high: float = Field(default=0.28, ge=0)  # the ratio's upper bound is 1 + this


def policy_term(
    turn: TurnTensors, advantage: float | Tensor, clip: Clip, *, name: str = "rl", weight: float = 1.0
) -> Term:
    """PPO's clipped loss as a term, and how often it clipped.

        -min(rho_t * A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) * A_t),   rho_t = pi_student(a_t) / pi_engine(a_t)

    The denominator is the log-prob that the engine recorded when it drew the token, not one that the trainer computes
    afterwards: a turn of an older version is then weighted by what really drew it. With the trainer's own (the naive
    form) every ratio starts at 1, and the clip never sees how far the policy has moved since. The minimum, not the
    clipped product alone: a token that has gone the wrong way beyond a bound must still be brought back.

    Off policy there is no log-prob of who drew the token. The denominator is that of the version which scored it, so
    the ratio still tells how far the policy has moved since, and each token's loss counts `own_share` of it.

    Args:    advantage: of the whole turn or [T]; dimensionless for rewards, nats for distillation; no gradient.
    Returns: loss [T]; on policy its value is -A_t, its gradient -A_t * d log pi_student(a_t).
    Source:  PPO, arXiv:1707.06347 eq. 7; the higher upper bound is DAPO's, arXiv:2503.14476 section 3.1.
    """
    log_ratio_T = drawn(turn.student_logprobs_TV, turn.response_ids_T) - turn.engine_logprobs_T
    ratio_T = log_ratio_T.exp()
    free_T = ratio_T * advantage
    bounded_T = ratio_T.clamp(1 - clip.clip_low, 1 + clip.clip_high) * advantage
    clipped_T = (bounded_T < free_T).to(ratio_T.dtype)
    loss_T = -free_T.minimum(bounded_T)
    if turn.is_off_policy:
        loss_T = loss_T * own_share(turn.engine_logprobs_T)
    return Term(name=name, weight=weight, loss_T=loss_T, metrics={"clip_fraction": mean(clipped_T)})
