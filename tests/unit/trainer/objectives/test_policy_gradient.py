"""The clipped policy loss by hand, alone and as binary RL, OPD and their combination use it."""

import math

import pytest
import torch

from tests.unit.trainer.objectives.turn_of import HALF, HINTED, gradient_of, turn_of
from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.combined import Combined
from trainer.objectives.opd import OPD
from trainer.objectives.policy_gradient import Clip, policy_term


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 1.0, -1.0, -1.0),
        (1.5, 1.0, -1.28, 0.0),  # already likelier than the bound allows: no more
        (0.5, 1.0, -0.5, -0.5),  # too unlikely now, but rewarded: pulled back up
        (0.5, -1.0, 0.8, 0.0),  # already unlikelier than the bound allows: no more
        (1.5, -1.0, 1.5, 1.5),  # likelier now, although punished: pushed down
    ],
)
def test_the_clip_stops_only_what_goes_further_than_the_verdict_asked(
    ratio: float, advantage: float, loss: float, slope: float
) -> None:
    turn = turn_of(HALF, [0], engine=[0.5 / ratio], advantage=advantage)
    terms = BinaryRL().terms(turn)
    assert terms.loss_T.tolist() == pytest.approx([loss])
    assert terms.metrics == {"rl_loss": pytest.approx(loss), "clip_fraction": 1.0 if slope == 0 else 0.0}
    assert gradient_of(terms.loss_T, turn)[0] == pytest.approx([slope, 0.0, 0.0])


def test_the_bounds_are_settings() -> None:
    turn = turn_of(HALF * 2, [0, 0], engine=[0.25, 1.0])  # ratios 2 and 0.5
    term = policy_term(turn, torch.tensor([1.0, -1.0]), Clip(clip_low=0.1, clip_high=0.6))
    assert term.loss_T.tolist() == pytest.approx([-1.6, 0.9])


def test_opd_raises_what_the_hint_makes_likelier_and_lowers_what_it_makes_unlikelier() -> None:
    turn = turn_of(HALF * 2, [0, 1], teachers=(HINTED * 2,))
    terms = OPD().terms(turn)
    gaps = [math.log(0.1 / 0.5), math.log(0.7 / 0.3)]
    assert terms.loss_T.tolist() == pytest.approx([-gap for gap in gaps])
    assert [row[:2] for row in gradient_of(terms.loss_T, turn)] == [
        pytest.approx([-gaps[0], 0.0]),
        pytest.approx([0.0, -gaps[1]]),
    ]
    assert terms.metrics.keys() == {"opd_loss", "clip_fraction"}


def test_opd_measures_the_hint_against_the_policy_of_today_and_not_of_when_it_drew() -> None:
    stale = turn_of(HINTED, [1], engine=[0.3], teachers=(HINTED,), staleness_T=torch.tensor([3]))
    assert OPD().terms(stale).loss_T.tolist() == [0.0]


def test_the_combination_adds_within_one_clip() -> None:
    turn = turn_of(HALF, [1], engine=[0.3 / 1.5], teachers=(HINTED,), advantage=-0.5)
    gap = math.log(0.7 / 0.3)
    assert Combined().terms(turn).loss_T.tolist() == pytest.approx([-1.28 * (gap - 0.5)])
    weighted = Combined(rl_weight=2, opd_weight=3).terms(turn)
    assert weighted.loss_T.tolist() == pytest.approx([-1.28 * (3 * gap - 2 * 0.5)])
    assert weighted.metrics.keys() == {"combined_loss", "clip_fraction"}


def test_what_a_turn_lacks_adds_nothing_to_the_combination() -> None:
    assert Combined().terms(turn_of(HALF, [1], advantage=-0.5)).loss_T.tolist() == [0.5]
    only_hint = turn_of(HALF, [1], teachers=(HINTED,))
    assert Combined().terms(only_hint).loss_T.tolist() == OPD().terms(only_hint).loss_T.tolist()
