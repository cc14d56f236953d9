"""`Hybrid`: the policy loss of the verdict plus the distillation of the hint, OpenClaw-RL's combined objective.

    L_t = rl_weight * policy_loss_t  +  opd_weight * distillation_t

Which of the two exist for a turn is the method's truth table: a reward gives the first, a hint the second, both give
both, none gives nothing to train on. Each is a function below, with its formula. `subset` picks the tokens that are
distilled: "student" (the paper's default) re-weights what the student already proposes; "teacher" (default here) also
reaches tokens that the student lacks.

The naive form of live binary RL takes the verdict itself as advantage. Once most answers please, every turn is +1:
the policy is pulled towards whatever it just said, and a small model was seen to collapse into ever shorter answers
and then gibberish within 8 updates. With `baseline` "batch" a verdict counts only against the batch's mean: when all
please, nothing moves.

Source: arXiv:2603.10165 v2, section "Hybrid"; PPO clipping with a higher upper bound as in DAPO, arXiv:2503.14476.
Legend: T response tokens, V vocabulary, K top-k, H hints. Losses in nats per token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from trainer.objectives.base import TokenTerms, TurnTensors

if TYPE_CHECKING:
    from torch import Tensor


class Hybrid(BaseModel):
    """The objective and its settings, `[trainer.objective]` with `name = "hybrid"`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["hybrid"] = "hybrid"
    rl_weight: float = Field(default=0.5, ge=0)  # of the verdict's policy loss; 0: distillation only
    opd_weight: float = Field(default=1.0, ge=0)  # of the hint's distillation; 0: verdicts only
    clip_low: float = Field(default=0.2, ge=0, lt=1)  # the ratio's lower bound is 1 - this
    clip_high: float = Field(default=0.28, ge=0)  # the ratio's upper bound is 1 + this
    baseline: Literal["batch", "none"] = "batch"  # what a reward is measured against: the batch's mean, or 0
    subset: Literal["teacher", "student"] = "teacher"  # whose top k tokens are distilled at each position
    top_k: int = Field(default=20, ge=1)  # the paper uses 4
    advantage_clip: float = Field(default=1.0, gt=0)  # nats; bound of a token's distillation advantage

    def trains(self, *, has_hints: bool, reward: float | None) -> bool:
        """Row by row the truth table above, with a weight of 0 counting as an absent signal."""
        return self._rewards(reward) or self.needs_teacher(has_hints=has_hints, reward=reward)

    def needs_teacher(self, *, has_hints: bool, reward: float | None) -> bool:  # noqa: ARG002
        """Whether there is a hint to distil."""
        return has_hints and self.opd_weight > 0

    def terms(self, turn: TurnTensors) -> TokenTerms:
        """The sum of the terms that this turn has; masked tokens cost exactly 0."""
        loss_T = turn.student_logprobs_TV.new_zeros(len(turn.response_ids_T))
        metrics: dict[str, float] = {}
        if turn.reward is not None and self._rewards(turn.reward):
            advantage = turn.reward - (turn.mean_reward if self.baseline == "batch" else 0.0)
            rl_T, clipped_T = policy_loss(turn, advantage, self.clip_low, self.clip_high)
            loss_T = loss_T + self.rl_weight * rl_T
            metrics |= {"rl_loss": _mean(rl_T, turn.mask_T), "clip_fraction": _mean(clipped_T, turn.mask_T)}
        if self.needs_teacher(has_hints=len(turn.teacher_logprobs_HTV) > 0, reward=turn.reward):
            hint, overlap = select_hint(turn, min(self.top_k, turn.student_logprobs_TV.shape[-1]))
            opd_T = self._distil(turn.student_logprobs_TV, turn.teacher_logprobs_HTV[hint])
            loss_T = loss_T + self.opd_weight * opd_T
            metrics |= {"opd_loss": _mean(opd_T, turn.mask_T), "hint_overlap": overlap}
        return TokenTerms(loss_T=loss_T.where(turn.mask_T, 0.0), metrics=metrics)

    def _rewards(self, reward: float | None) -> bool:
        return reward is not None and self.rl_weight > 0

    def _distil(self, student_TV: Tensor, teacher_TV: Tensor) -> Tensor:
        proposer_TV = teacher_TV if self.subset == "teacher" else student_TV.detach()
        ids_TK = proposer_TV.topk(min(self.top_k, student_TV.shape[-1]), dim=-1).indices
        return distillation_loss(student_TV, teacher_TV, ids_TK, self.advantage_clip)


def policy_loss(turn: TurnTensors, advantage: float, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """PPO's clipped loss with one advantage for every token of the turn.

        -min(rho_t * A, clip(rho_t, 1 - clip_low, 1 + clip_high) * A),  rho_t = pi_student / pi_engine

    The denominator is the log-prob that the engine recorded when it drew the token, not one that the trainer computes
    afterwards: a turn of an older version is then weighted by what really drew it. With the trainer's own (the naive
    form) every ratio starts at 1, and the clip never sees how far the policy has moved since. A is not divided by a
    spread: live turns come one per prompt, and a group of one has none.

    Returns: [T] loss, and [T] 1.0 where the clip cut the gradient off.
    """
    student_T = turn.student_logprobs_TV.gather(-1, turn.response_ids_T[:, None])[:, 0]
    # A masked token's recorded log-prob may be anything: exp of it could be inf, whose gradient times 0 is NaN.
    log_ratio_T = (student_T - turn.engine_logprobs_T).where(turn.mask_T, 0.0)
    ratio_T = log_ratio_T.exp()
    free_T = ratio_T * advantage
    bounded_T = ratio_T.clamp(1 - clip_low, 1 + clip_high) * advantage
    return -free_T.minimum(bounded_T), (bounded_T < free_T).to(ratio_T.dtype)


def distillation_loss(student_TV: Tensor, teacher_TV: Tensor, ids_TK: Tensor, advantage_clip: float) -> Tensor:
    """The paper's top-k distillation: each of K tokens per position has its own clipped advantage.

        -sum over k of  pi_old(k) * A_k * rho_k,   A_k = clip(log pi_teacher(k) - log pi_old(k), -C, C)

    pi_old is the student at the start of the step: the value before this batch's update, so rho is 1 and only its
    gradient counts. Were A differentiated too (the naive form), the gradient would be that of a KL whose clip is
    ignored, and a token that the teacher finds impossible would dominate the update. An unclipped forward KL was tried
    in its place: the first token of an answer outweighed all others (the hinted teacher opens with an apology), and
    answers shrank to a third.

    Returns: [T].
    """
    student_TK = student_TV.gather(-1, ids_TK)
    old_TK = student_TK.detach()
    advantage_TK = (teacher_TV.gather(-1, ids_TK) - old_TK).clamp(-advantage_clip, advantage_clip)
    return -(old_TK.exp() * advantage_TK * (student_TK - old_TK).exp()).sum(-1)


def select_hint(turn: TurnTensors, top_k: int) -> tuple[int, float]:
    """The hint whose teacher is nearest to the student: `sequence_optimal` of the paper.

        argmax over h of  sum over unmasked i of |S_i ∩ T_h,i|,   S, T the top-k sets of student and teacher

    A hint that the student cannot follow yet has a teacher in another region, whose log-ratios are noise. Equal sums
    go to the teacher that finds the response likelier, so that the order in which hints were written never decides.

    Returns: the hint's index, and its overlap as a share of K (mean over tokens).
    """
    student_TK = turn.student_logprobs_TV.detach().topk(top_k, dim=-1).indices
    ranks = [
        (_overlap(student_TK, teacher_TV, turn.mask_T, top_k), _likelihood(turn, teacher_TV))
        for teacher_TV in turn.teacher_logprobs_HTV
    ]
    best = max(range(len(ranks)), key=ranks.__getitem__)
    num_tokens = max(int(turn.mask_T.sum()), 1)
    return best, ranks[best][0] / (num_tokens * top_k)


def _overlap(student_TK: Tensor, teacher_TV: Tensor, mask_T: Tensor, top_k: int) -> int:
    teacher_TK = teacher_TV.topk(top_k, dim=-1).indices
    shared_T = (student_TK[:, :, None] == teacher_TK[:, None, :]).sum((-1, -2))
    return int((shared_T * mask_T).sum())


def _likelihood(turn: TurnTensors, teacher_TV: Tensor) -> float:
    taken_T = teacher_TV.gather(-1, turn.response_ids_T[:, None])[:, 0]
    return float(taken_T.where(turn.mask_T, 0.0).sum())


def _mean(values_T: Tensor, mask_T: Tensor) -> float:
    """Mean over the tokens that train; 0.0 where none does."""
    return float(values_T.detach().where(mask_T, 0.0).sum() / mask_T.sum().clamp(min=1))
