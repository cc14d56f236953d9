"""Group-relative policy gradient by hand; its z-scores are in test_advantages.py."""

import pytest

from tests.unit.trainer.objectives.turn_of import HALF, turn_of
from trainer.objectives.grpo import GRPO


def test_a_turn_that_was_better_than_its_siblings_becomes_likelier() -> None:
    terms = GRPO().terms(turn_of(HALF, [0], engine=[0.25], advantage=1.5))
    assert terms.loss_T.tolist() == pytest.approx([-1.28 * 1.5])
    assert terms.metrics == {"rl_loss": pytest.approx(-1.92), "clip_fraction": 1.0, "zero_advantage": 0.0}


def test_a_turn_that_says_nothing_about_what_was_better_is_counted_as_such() -> None:
    terms = GRPO().terms(turn_of(HALF, [0], advantage=0.0))
    assert terms.loss_T.tolist() == [0.0]
    assert terms.metrics["zero_advantage"] == 1.0
