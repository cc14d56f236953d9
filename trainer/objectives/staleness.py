"""What becomes of tokens that an older version drew: weighted, or left out, by the versions in the sample.

`trainer.max_staleness` skips whole turns before any pass; this is about the tokens of those that train. A policy loss
needs no weight: its clipped ratio is one already. Legend: T response tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from trainer.objectives.terms import drawn

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.objectives.base import TurnTensors


class StaleTokens(BaseModel):
    """For methods of which every term has a ratio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stale: Literal["ratio", "drop"] = "ratio"  # ratio: the clipped ratio weights them; drop: leave out the older ones
    stale_bound: int = Field(default=2, ge=0)  # versions; with "drop", older tokens do not train


class WeighedStaleTokens(BaseModel):
    """For methods with terms that have no ratio of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # ratio: only a policy loss weights them, by its own; truncate: distillation, too, by min(ratio, cap); drop: leave
    # out the older ones
    stale: Literal["ratio", "truncate", "drop"] = "ratio"
    stale_bound: int = Field(default=2, ge=0)  # versions; with "drop", older tokens do not train
    stale_cap: float = Field(default=2.0, gt=0)  # with "truncate", the largest weight of a token


def kept(turn: TurnTensors, settings: StaleTokens | WeighedStaleTokens) -> Tensor:
    """[T] bool: the tokens that train, which are the mask's and, with "drop", no older than the bound.

    A turn's loss stays a mean over all tokens of its mask: what is dropped costs 0 and the others gain no weight. One
    answer may have been drawn by two versions, when a reload came in between; the naive form judges it by its oldest
    token and loses all of it.
    """
    if settings.stale == "drop":
        return turn.mask_T & (turn.staleness_T <= settings.stale_bound)
    return turn.mask_T


def importance(turn: TurnTensors, settings: WeighedStaleTokens) -> Tensor:
    """[T] weights of a loss that looks at the drawn prefix only through where it stands; no gradient.

        w_t = min(pi_theta(a_t) / pi_engine(a_t), cap) where an older version drew a_t, with "truncate";  else 1

    Distillation at a position is right wherever the position comes from, but it should be spent where the policy of
    today goes. The untruncated ratio (the naive form) has no bound: one token that the old policy found rare outweighs
    the rest of the batch. Fresh tokens weigh exactly 1, not engine and trainer's rounding.

    Source:  truncated importance weights as in IMPALA, arXiv:1802.01561 section 4.1.
    """
    student_T = drawn(turn.student_logprobs_TV, turn.response_ids_T).detach()
    if settings.stale != "truncate":
        return student_T.new_ones(student_T.shape)
    ratio_T = (student_T - turn.engine_logprobs_T).exp().clamp(max=settings.stale_cap)
    return ratio_T.where(turn.staleness_T > 0, 1.0)
