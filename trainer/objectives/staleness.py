"""What becomes of tokens that an older version drew: weighted, or left out, by the versions in the sample.

`trainer.max_staleness` skips whole turns before any pass; this is about the tokens of those that train. A policy loss
needs no weight for age: its clipped ratio is one already. Off policy, where no version of ours drew a token at all, it
needs one (`own_share`). Legend: T response tokens.
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

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stale: Literal["ratio", "drop"] = "ratio"  # ratio: the clipped ratio weights them; drop: leave out the older ones
    stale_bound: int = Field(default=2, ge=0)  # versions; with "drop", older tokens and imported ones do not train


class WeighedStaleTokens(BaseModel):
    """For methods with terms that have no ratio of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # ratio: only a policy loss weights them, by its own; truncate: distillation, too, by min(ratio, cap); drop: leave
    # out the older ones
    stale: Literal["ratio", "truncate", "drop"] = "ratio"
    stale_bound: int = Field(default=2, ge=0)  # versions; with "drop", older tokens and imported ones do not train
    stale_cap: float = Field(default=2.0, gt=0)  # with "truncate", the largest weight of a token


def drops_all(settings: object, freshest: int, *, is_off_policy: bool) -> bool:
    """Whether nothing of a turn would train, which must be known before it is counted as trained.

    Args:    settings: an objective; freshest: versions since its newest token was drawn.
    """
    if not isinstance(settings, StaleTokens | WeighedStaleTokens) or settings.stale != "drop":
        return False
    return is_off_policy or freshest > settings.stale_bound


def kept(turn: TurnTensors, settings: StaleTokens | WeighedStaleTokens) -> Tensor:
    """[T] bool: the tokens that train, which are the mask's and, with "drop", no older than the bound.

    A turn's loss stays a mean over all tokens of its mask: what is dropped costs 0 and the others gain no weight. One
    answer may have been drawn by two versions, when a reload came in between; the naive form judges it by its oldest
    token and loses all of it.
    """
    if settings.stale == "drop":
        return turn.mask_T & (turn.staleness_T <= settings.stale_bound) & (not turn.is_off_policy)
    return turn.mask_T


def importance(turn: TurnTensors, settings: WeighedStaleTokens) -> Tensor:
    """[T] weights of a loss that looks at the drawn prefix only through where it stands; no gradient.

        w_t = min(pi_theta(a_t) / pi_engine(a_t), cap) where an older version drew a_t, with "truncate";  else 1
        off policy, with "truncate":  pi_theta(a_t)  (`own_share`)

    Distillation at a position is right wherever the position comes from, but it should be spent where the policy of
    today goes. The untruncated ratio (the naive form) has no bound: one token that the old policy found rare outweighs
    the rest of the batch. Fresh tokens weigh exactly 1, not engine and trainer's rounding.

    Source:  truncated importance weights as in IMPALA, arXiv:1802.01561 section 4.1.
    """
    student_T = drawn(turn.student_logprobs_TV, turn.response_ids_T).detach()
    if settings.stale != "truncate":
        return student_T.new_ones(student_T.shape)
    if turn.is_off_policy:
        return own_share(student_T)
    ratio_T = (student_T - turn.engine_logprobs_T).exp().clamp(max=settings.stale_cap)
    return ratio_T.where(turn.staleness_T > 0, 1.0)


def own_share(logprobs_T: Tensor) -> Tensor:
    """[T] weights of tokens that somebody else wrote, from the log-probs that a version of ours gives them.

        w_t = pi(a_t)

    Who wrote an imported answer, another model or a person, and how likely each token was to them, nobody knows. The
    naive form calls the trainer's own scores the behaviour policy: every ratio is 1, and a complaint pushes down tokens
    that the policy would never say, with a gradient that grows the unlikelier they are (that of log pi has no bound).
    What is known is this. The policy gradient at a position is the sum over all tokens a of pi(a) A(a) d log pi(a); one
    term of it was observed, and in that sum it counts pi(a), whoever wrote it. It is also the smallest importance
    weight pi / mu that any writer mu can have, that of one who was certain. So a token teaches as far as the policy
    would say it itself: the loss is never larger than on policy, its gradient is that of the probability, not of its
    logarithm, and what the policy would not say is left alone. Distillation needs none of this: a teacher's word on a
    position is right wherever the position comes from.

    Source:  GOLD, arXiv:2009.07839: weights of off-policy demonstrations by the policy's own probability.
    """
    return logprobs_T.exp()
