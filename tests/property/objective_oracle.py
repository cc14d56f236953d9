"""`oracle_loss`: the hybrid objective once more, in float64 and explicit loops, to judge trainer/objectives by.

Shares no code with it and knows no tensors: nested lists in, a list of losses out. `old` is the policy at the start of
the step, held fixed, so that finite differences of `student` give the gradient that training follows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Matrix = Sequence[Sequence[float]]  # [T][V] log-probs


@dataclass(frozen=True)
class OracleTurn:
    student: Matrix
    old: Matrix
    teachers: Sequence[Matrix]
    response_ids: Sequence[int]
    engine: Sequence[float]
    mask: Sequence[bool]
    reward: float | None
    mean_reward: float = 0.0


@dataclass(frozen=True)
class OracleSettings:
    rl_weight: float = 0.5
    opd_weight: float = 1.0
    clip_low: float = 0.2
    clip_high: float = 0.28
    baseline: str = "batch"
    subset: str = "teacher"
    top_k: int = 3
    advantage_clip: float = 1.0


def top(row: Sequence[float], k: int) -> list[int]:
    return sorted(range(len(row)), key=lambda token: -row[token])[:k]


def overlap(turn: OracleTurn, teacher: Matrix, k: int) -> int:
    rows = range(len(turn.mask))
    return sum(len({*top(turn.old[t], k)} & {*top(teacher[t], k)}) for t in rows if turn.mask[t])


def chosen_hint(turn: OracleTurn, k: int) -> int:
    def rank(index: int) -> tuple[int, float]:
        teacher = turn.teachers[index]
        taken = [teacher[t][token] for t, token in enumerate(turn.response_ids) if turn.mask[t]]
        return overlap(turn, teacher, k), sum(taken)

    return max(range(len(turn.teachers)), key=rank)


def policy_loss(turn: OracleTurn, settings: OracleSettings, t: int) -> float:
    assert turn.reward is not None
    ratio = math.exp(turn.student[t][turn.response_ids[t]] - turn.engine[t])
    bounded = min(max(ratio, 1 - settings.clip_low), 1 + settings.clip_high)
    advantage = turn.reward - (turn.mean_reward if settings.baseline == "batch" else 0)
    return -min(ratio * advantage, bounded * advantage)


def distillation_loss(turn: OracleTurn, settings: OracleSettings, teacher: Matrix, t: int) -> float:
    loss = 0.0
    proposer = teacher if settings.subset == "teacher" else turn.old
    for token in top(proposer[t], settings.top_k):
        gap = teacher[t][token] - turn.old[t][token]
        advantage = max(-settings.advantage_clip, min(settings.advantage_clip, gap))
        loss -= math.exp(turn.old[t][token]) * advantage * math.exp(turn.student[t][token] - turn.old[t][token])
    return loss


def oracle_loss(turn: OracleTurn, settings: OracleSettings) -> list[float]:
    losses = [0.0] * len(turn.mask)
    hint = chosen_hint(turn, settings.top_k) if turn.teachers else None
    for t, counts in enumerate(turn.mask):
        if not counts:
            continue
        if turn.reward is not None:
            losses[t] += settings.rl_weight * policy_loss(turn, settings, t)
        if hint is not None:
            losses[t] += settings.opd_weight * distillation_loss(turn, settings, turn.teachers[hint], t)
    return losses
