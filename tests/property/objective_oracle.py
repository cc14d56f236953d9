"""`oracle_losses`: every objective once more, in float64 and explicit loops from its formula, to judge the real by.

Shares no code with them and knows no tensors: nested lists of logits in, a list of losses out. `old` is the policy at
the start of the step, held fixed, so that finite differences of `student` give the gradient that training follows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Sequence[float]
Matrix = Sequence[Row]  # [T][V]


@dataclass(frozen=True)
class OracleTurn:
    student: Matrix  # logits, as all matrices here
    old: Matrix
    reference: Matrix
    teachers: Sequence[Matrix]
    hint_lengths: Sequence[int]
    response_ids: Sequence[int]
    engine: Sequence[float]  # log-probs
    staleness: Sequence[int]
    mask: Sequence[bool]
    advantage: float | None


@dataclass(frozen=True)
class Position:
    """What is known of one response token: log-probs of the whole vocabulary."""

    student: Row
    old: Row
    reference: Row
    teacher: Row | None
    token: int
    engine: float
    staleness: int


Settings = Mapping[str, Any]


def log_softmax(row: Row) -> list[float]:
    largest = max(row)
    total = largest + math.log(sum(math.exp(value - largest) for value in row))
    return [value - total for value in row]


def top(row: Row, k: int) -> set[int]:
    return set(sorted(range(len(row)), key=lambda token: -row[token])[:k])


def trains(turn: OracleTurn, settings: Settings, t: int) -> bool:
    return turn.mask[t] and not (settings["stale"] == "drop" and turn.staleness[t] > settings["stale_bound"])


def chosen_hints(turn: OracleTurn, settings: Settings, rule: str) -> list[int]:
    """The index of the hint that teaches each position."""
    kept = [t for t in range(len(turn.mask)) if trains(turn, settings, t)]
    shared, taken = [], []
    for teacher in turn.teachers:
        k = settings.get("top_k", 1)
        shared.append([len(top(log_softmax(turn.old[t]), k) & top(log_softmax(teacher[t]), k)) for t in kept])
        taken.append([log_softmax(teacher[t])[turn.response_ids[t]] for t in kept])
    hints = range(len(turn.teachers))
    if rule == "token_optimal":
        best = [max(hints, key=lambda h: (shared[h][place], taken[h][place])) for place in range(len(kept))]
    else:
        key = {
            "sequence_optimal": lambda h: sum(shared[h]),
            "shortest": lambda h: -turn.hint_lengths[h],
            "longest": lambda h: turn.hint_lengths[h],
        }[rule]
        best = [max(hints, key=lambda h: (key(h), sum(taken[h])))] * len(kept)
    by_position = dict(zip(kept, best, strict=True))
    return [by_position.get(t, 0) for t in range(len(turn.mask))]


def clipped_policy(at: Position, settings: Settings, advantage: float) -> float:
    ratio = math.exp(at.student[at.token] - at.engine)
    bounded = min(max(ratio, 1 - settings["clip_low"]), 1 + settings["clip_high"])
    return -min(ratio * advantage, bounded * advantage)


def hint_gap(at: Position) -> float:
    assert at.teacher is not None
    return at.teacher[at.token] - at.old[at.token]


def candidates(at: Position, settings: Settings) -> set[int]:
    assert at.teacher is not None
    students, teachers = top(at.old, settings["top_k"]), top(at.teacher, settings["top_k"])
    return {"student": students, "teacher": teachers, "overlap": students & teachers}[settings["subset"]]


def stale_weight(at: Position, settings: Settings) -> float:
    if settings["stale"] != "truncate" or at.staleness == 0:
        return 1.0
    return min(math.exp(at.old[at.token] - at.engine), settings["stale_cap"])


def clipped_gaps(at: Position, settings: Settings) -> float:
    assert at.teacher is not None
    loss, bound = 0.0, settings["advantage_clip"]
    for token in candidates(at, settings):
        advantage = max(-bound, min(bound, at.teacher[token] - at.old[token]))
        loss -= math.exp(at.old[token]) * advantage * math.exp(at.student[token] - at.old[token])
    return stale_weight(at, settings) * loss


def binned_kl(at: Position, settings: Settings) -> float:
    assert at.teacher is not None
    bins = [(math.exp(at.student[token]), math.exp(at.teacher[token])) for token in candidates(at, settings)]
    rest = (1 - sum(p for p, _ in bins), 1 - sum(q for _, q in bins))
    return stale_weight(at, settings) * sum(p * math.log(p / q) for p, q in [*bins, rest])


def reference_kl(at: Position, settings: Settings) -> float:
    gap = at.reference[at.token] - at.student[at.token]
    return settings["kl_weight"] * (math.exp(gap) - gap - 1)


def binary_rl(at: Position, settings: Settings, advantage: float | None) -> float:
    return 0.0 if advantage is None else clipped_policy(at, settings, advantage)


def opd(at: Position, settings: Settings, advantage: float | None) -> float:
    return clipped_policy(at, settings, hint_gap(at))


def combined(at: Position, settings: Settings, advantage: float | None) -> float:
    total = 0.0
    if advantage is not None:
        total += settings["rl_weight"] * advantage
    if at.teacher is not None:
        total += settings["opd_weight"] * hint_gap(at)
    return clipped_policy(at, settings, total)


def hybrid(at: Position, settings: Settings, advantage: float | None) -> float:
    loss = 0.0
    if advantage is not None:
        loss += settings["rl_weight"] * clipped_policy(at, settings, advantage)
    if at.teacher is not None:
        loss += settings["opd_weight"] * clipped_gaps(at, settings)
    return loss


def topk_distillation(at: Position, settings: Settings, advantage: float | None) -> float:
    return binned_kl(at, settings)


METHODS: Mapping[str, Callable[[Position, Settings, float | None], float]] = {
    "binary_rl": binary_rl,
    "opd": opd,
    "combined": combined,
    "hybrid": hybrid,
    "topk_distillation": topk_distillation,
    "grpo": binary_rl,  # its own part is what the advantage is
}


def oracle_losses(turn: OracleTurn, settings: Settings) -> list[float]:
    """One loss per response token."""
    rule = settings.get("hint_selection", "longest")
    hints = chosen_hints(turn, settings, rule) if turn.teachers else [0] * len(turn.mask)
    losses = [0.0] * len(turn.mask)
    for t in range(len(turn.mask)):
        if trains(turn, settings, t):
            at = Position(
                student=log_softmax(turn.student[t]),
                old=log_softmax(turn.old[t]),
                reference=log_softmax(turn.reference[t]),
                teacher=log_softmax(turn.teachers[hints[t]][t]) if turn.teachers else None,
                token=turn.response_ids[t],
                engine=turn.engine[t],
                staleness=turn.staleness[t],
            )
            losses[t] = METHODS[settings["name"]](at, settings, turn.advantage) + reference_kl(at, settings)
    return losses


def batch_advantages(rewards: Sequence[float | None], past: Sequence[float], baseline: str) -> list[float | None]:
    """Reward minus baseline, turn by turn."""
    level = 0.0
    known = [reward for reward in rewards if reward is not None]
    if baseline == "batch" and known:
        level = sum(known) / len(known)
    if baseline == "running" and past:
        weights = [0.9 ** (len(past) - 1 - number) for number in range(len(past))]
        level = sum(weight * mean for weight, mean in zip(weights, past, strict=True)) / sum(weights)
    return [None if reward is None else reward - level for reward in rewards]


def z_scores(turns: Sequence[tuple[str | None, int | None, float | None, float | None]]) -> list[float | None]:
    """Of (group, step, reward, outcome): the total of each among those of its group and step."""
    scores: list[float | None] = []
    for group, step, reward, outcome in turns:
        if group is None or (reward is None and outcome is None):
            scores.append(None)
            continue
        totals = []
        for other, other_step, other_reward, other_outcome in turns:
            if (other, other_step) == (group, step) and not (other_reward is None and other_outcome is None):
                totals.append((other_reward or 0.0) + (other_outcome or 0.0))
        center = sum(totals) / len(totals)
        spread = math.sqrt(sum((total - center) ** 2 for total in totals) / len(totals))
        scores.append(((reward or 0.0) + (outcome or 0.0) - center) / spread if spread > 1e-9 else 0.0)
    return scores
