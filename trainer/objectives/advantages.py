"""What a turn's reward is worth: against a baseline for live turns, against its siblings for groups.

Consumes the signals of a whole batch; produces one number per turn, which stands for all of its tokens. None, not 0,
where there is nothing to reward. Legend: r reward, b baseline, A advantage; all dimensionless.
"""

from __future__ import annotations

from collections import defaultdict
from math import fsum, sqrt
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.objectives.base import Signals

MEMORY = 0.9  # share of its weight that a batch keeps per later batch in the running mean: about the last 10 count


class Baseline(BaseModel):
    """What a verdict is measured against."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # batch: the mean of the batch's rewards; running: the weighted mean of earlier batches' means; none: 0, the paper's
    baseline: Literal["batch", "running", "none"] = "batch"

    def advantages(self, turns: Sequence[Signals], past_rewards: Sequence[float]) -> list[float | None]:
        """A = r - b for each rewarded turn.

            batch:    b = mean of r in this batch
            running:  b = sum of 0.9^(n-1-i) * past_i  /  sum of 0.9^(n-1-i),  i = 0 .. n-1, oldest first; 0 at n = 0
            none:     b = 0

        The naive form of live binary RL takes the verdict itself ("none"). Once most answers please, every turn is +1:
        the policy is pulled towards whatever it just said, and a small model was seen to collapse into ever shorter
        answers and then gibberish within 8 updates. Against the batch's mean, nothing moves when all please; nothing
        moves either in a batch of one rewarded turn, where "running" still tells better from worse. A is not divided
        by a spread: live turns come one per prompt, and a group of one has none.

        Source:  the baseline of REINFORCE, Williams 1992; "none" is arXiv:2603.10165, section "Binary RL".
        """
        rewards = [turn.reward for turn in turns if turn.reward is not None]
        baseline = {"batch": _mean(rewards), "running": running_mean(past_rewards), "none": 0.0}[self.baseline]
        return [None if turn.reward is None else turn.reward - baseline for turn in turns]


class Unrewarded(BaseModel):
    """For methods that do not read rewards."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def advantages(self, turns: Sequence[Signals], past_rewards: Sequence[float]) -> list[float | None]:  # noqa: ARG002
        """None for each turn."""
        return [None for _ in turns]


def running_mean(past: Sequence[float]) -> float:
    """Exponentially weighted mean of numbers, oldest first; 0.0 of none."""
    weights = [MEMORY**age for age in reversed(range(len(past)))]
    return fsum(weight * value for weight, value in zip(weights, past, strict=True)) / fsum(weights) if past else 0.0


def group_advantages(turns: Sequence[Signals]) -> list[float | None]:
    """Process plus outcome reward, z-scored within the siblings at the same step of the same task.

        R = reward + outcome (a missing one adds nothing; without both: None),
        A = (R - mean R) / sqrt(mean (R - mean R)^2)   over the group (group_id, step);  0 where all R are equal

    Groups of one, and of equal R, have A = 0: they say nothing about what was better. "Equal" is asked of the numbers
    themselves. The naive form asks it of the spread: three rewards of 0.1 have a spread of 1e-17 in floating point, and
    dividing by it (or by it plus a small constant that someone must choose) makes advantages out of rounding. Without
    the step in the key an easy first step would be compared with a hard last one.

    Returns: one per turn; None, too, for a turn without a group.
    Source:  GRPO, arXiv:2402.03300 section 4.1; process rewards per step, arXiv:2603.10165, section "General agents".
    """
    totals = [_total(turn) for turn in turns]
    groups: dict[tuple[str | None, int | None], list[float]] = defaultdict(list)
    for turn, total in zip(turns, totals, strict=True):
        if total is not None:
            groups[turn.group_id, turn.step].append(total)
    return [
        None if total is None else _z_score(total, groups[turn.group_id, turn.step])
        for turn, total in zip(turns, totals, strict=True)
    ]


def _total(turn: Signals) -> float | None:
    known = [value for value in (turn.reward, turn.outcome) if value is not None]
    return fsum(known) if known and turn.group_id is not None else None


def _z_score(value: float, group: Sequence[float]) -> float:
    if min(group) == max(group):
        return 0.0
    center = _mean(group)
    return (value - center) / sqrt(_mean([(one - center) ** 2 for one in group]))


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values) if values else 0.0
