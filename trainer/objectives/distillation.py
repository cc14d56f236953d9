"""Distillation of a teacher's distribution at each position, on the few tokens that matter there.

Owns the choice of those tokens and the two losses over them: the paper's clipped advantages, and the reverse KL with a
bin for the rest. Legend: T response tokens, V vocabulary, K top-k. Losses in nats per token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor


class TopK(BaseModel):
    """How many tokens are distilled at each position."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    top_k: int = Field(default=20, ge=1)  # at most the vocabulary, checked when the model is known; the paper uses 4


Subset = Literal["teacher", "student", "overlap"]


def subset_ids(student_TK: Tensor, teacher_TK: Tensor, subset: Subset) -> tuple[Tensor, Tensor]:
    """The K candidates at each position, and which of them count.

        student: S_t = top-k of the student    teacher: T_t = top-k of the teacher    overlap: S_t intersected with T_t

    The student's own subset (the paper's) can only re-weight what the student already proposes: a token that the hint
    asks for and the student never says stays unreachable, which is the case where the naive form learns nothing of a
    rare rule. The teacher's subset reaches it.

    Args:    both [T, K] int64, the top-k ids of each side.
    Returns: ids [T, K] int64 and counts [T, K] bool.
    Source:  arXiv:2603.10165 v2, section "Hybrid".
    """
    if subset == "overlap":
        return student_TK, shared(student_TK, teacher_TK)
    ids_TK = teacher_TK if subset == "teacher" else student_TK
    return ids_TK, ids_TK.bool().new_ones(ids_TK.shape)


def shared(student_TK: Tensor, teacher_TK: Tensor) -> Tensor:
    """[T, K] bool: which of the student's ids the teacher has, too."""
    return (student_TK[:, :, None] == teacher_TK[:, None, :]).any(-1)


def clipped_gap(
    student_TV: Tensor, teacher_TV: Tensor, ids_TK: Tensor, counts_TK: Tensor, advantage_clip: float
) -> Tensor:
    """The paper's top-k distillation: each of K tokens per position has its own clipped advantage.

        -sum over k of  pi_old(k) * A_k * rho_k,   A_k = clip(log pi_teacher(k) - log pi_old(k), -C, C),
        rho_k = pi_student(k) / pi_old(k)

    pi_old is the student at the start of the step: the value before this batch's update, so rho is 1 and only its
    gradient counts. Were A differentiated too (the naive form), the gradient would be that of a KL whose clip is
    ignored, and a token that the teacher finds impossible would dominate the update. An unclipped forward KL was tried
    in its place: the first token of an answer outweighed all others (the hinted teacher opens with an apology), and
    answers shrank to a third.

    Args:    student_TV with gradient, teacher_TV without; advantage_clip: C, nats.
    Returns: [T].
    Source:  arXiv:2603.10165 v2, section "Hybrid".
    """
    student_TK = student_TV.gather(-1, ids_TK)
    old_TK = student_TK.detach()
    advantage_TK = (teacher_TV.gather(-1, ids_TK) - old_TK).clamp(-advantage_clip, advantage_clip)
    weight_TK = (old_TK.exp() * advantage_TK).where(counts_TK, 0.0)
    return -(weight_TK * (student_TK - old_TK).exp()).sum(-1)


def binned_reverse_kl(student_TV: Tensor, teacher_TV: Tensor, ids_TK: Tensor) -> Tensor:
    """Reverse KL over K + 1 bins: each of K tokens, and all others together.

        sum over b of  p_b * (log p_b - log q_b),   p student, q teacher,
        tail: log p_tail = log(1 - exp(logsumexp(log p_1 .. log p_K)))

    Without the tail (the naive form) p and q do not sum to 1: the loss is least when the student puts all mass on
    tokens outside the subset, and so it does. The tail is summed from the tokens in it: taken as 1 - sum in float32 it
    is noise below 1e-7, or the log of a negative number, where the model is sure of itself. With K = V there is none.

    Args:    student_TV with gradient, teacher_TV without; both normalised.
    Returns: [T], >= 0 but for rounding.
    Source:  SDFT and SDPO, as described in arXiv:2603.10165 v2, section "Top-k distillation".
    """
    student_TK, teacher_TK = student_TV.gather(-1, ids_TK), teacher_TV.gather(-1, ids_TK)
    loss_T = (student_TK.exp() * (student_TK - teacher_TK)).sum(-1)
    if ids_TK.shape[-1] == student_TV.shape[-1]:
        return loss_T
    student_T, teacher_T = _tail(student_TV, ids_TK), _tail(teacher_TV, ids_TK)
    return loss_T + student_T.exp() * (student_T - teacher_T)


def _tail(logprobs_TV: Tensor, ids_TK: Tensor) -> Tensor:
    return logprobs_TV.scatter(-1, ids_TK, float("-inf")).logsumexp(-1)
