"""What a reward is worth, by hand."""

import pytest

from trainer.objectives.advantages import Baseline, group_advantages, running_mean
from trainer.objectives.base import Signals
from trainer.objectives.grpo import GRPO
from trainer.objectives.opd import OPD
from trainer.objectives.topk_distillation import TopKDistillation


def verdicts(*rewards: float | None) -> list[Signals]:
    return [Signals(has_hints=False, reward=reward) for reward in rewards]


def sibling(reward: float | None, outcome: float | None = None, group_id: str | None = "a", step: int = 0) -> Signals:
    return Signals(has_hints=False, reward=reward, outcome=outcome, group_id=group_id, step=step)


def test_a_verdict_counts_against_the_mean_of_its_batch() -> None:
    assert Baseline().advantages(verdicts(1.0, -1.0, None, 1.0, 1.0), [9.0]) == [0.5, -1.5, None, 0.5, 0.5]
    assert Baseline().advantages(verdicts(1.0, 1.0, 1.0), []) == [0.0, 0.0, 0.0]
    assert Baseline().advantages(verdicts(None), []) == [None]


def test_without_a_baseline_a_verdict_is_its_own_advantage() -> None:
    assert Baseline(baseline="none").advantages(verdicts(1.0, None, -1.0), [1.0]) == [1.0, None, -1.0]


def test_a_running_baseline_looks_at_earlier_batches_and_most_at_the_last() -> None:
    running = Baseline(baseline="running")
    assert running.advantages(verdicts(1.0, None), []) == [1.0, None]
    assert running.advantages(verdicts(1.0, -1.0), [0.5]) == [0.5, -1.5]
    assert running_mean([1.0, 0.0]) == pytest.approx(0.9 / 1.9)
    assert running_mean([0.0, 0.0, 1.0]) == pytest.approx(1 / (1 + 0.9 + 0.81))


def test_siblings_are_scored_within_their_task_and_step() -> None:
    turns = [sibling(1, 1), sibling(1, -1), sibling(0, 5, step=1), sibling(0, 3, step=1), sibling(9, group_id="b")]
    assert group_advantages(turns) == pytest.approx([1.0, -1.0, 1.0, -1.0, 0.0])


def test_a_z_score_divides_by_the_groups_own_spread() -> None:
    assert group_advantages([sibling(0), sibling(0), sibling(3)]) == pytest.approx([-(0.5**0.5)] * 2 + [2**0.5])


def test_a_group_of_equals_is_worth_nothing_however_its_mean_rounds() -> None:
    assert sum([0.1] * 3) / 3 != 0.1  # a spread of such numbers is not 0
    assert group_advantages([sibling(0.1)] * 3) == [0.0, 0.0, 0.0]


def test_a_missing_reward_adds_nothing_and_without_group_or_reward_there_is_no_advantage() -> None:
    turns = [sibling(None, 1), sibling(None, -1), sibling(None), sibling(1, 1, group_id=None)]
    assert GRPO().advantages(turns, [1.0]) == [1.0, -1.0, None, None]


def test_methods_without_rewards_have_no_advantages() -> None:
    for objective in (OPD(), TopKDistillation()):
        assert objective.advantages(verdicts(1.0, -1.0), [1.0]) == [None, None]
