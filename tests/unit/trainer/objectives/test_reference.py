"""The KL to the base model, by hand."""

import math

import pytest
import torch

from tests.unit.trainer.objectives.turn_of import HALF, gradient_of, turn_of
from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.reference import low_variance_kl


def test_the_kl_pulls_back_from_both_sides() -> None:
    reference_TV = torch.tensor([[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]]).log()
    turn = turn_of(HALF * 2, [0, 1], reference_logprobs_TV=reference_TV, advantage=0.0)
    terms = BinaryRL(kl_weight=3.0).terms(turn)
    ratios = [0.25 / 0.5, 0.5 / 0.3]
    costs = [ratio - math.log(ratio) - 1 for ratio in ratios]
    assert terms.loss_T.tolist() == pytest.approx([3 * cost for cost in costs])
    assert terms.metrics["kl_loss"] == pytest.approx(sum(costs) / 2)
    slopes = gradient_of(terms.loss_T, turn)
    assert [slopes[0][0], slopes[1][1]] == pytest.approx([3 * (1 - ratio) for ratio in ratios])


def test_its_mean_over_what_the_policy_draws_is_the_divergence() -> None:
    student, reference = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    estimates = low_variance_kl(student.log(), reference.log())
    assert (estimates > 0).all()
    assert float((student * estimates).sum()) == pytest.approx(float((student * (student / reference).log()).sum()))


def test_where_nothing_has_moved_the_kl_costs_nothing() -> None:
    same = torch.tensor(HALF).log()
    turn = turn_of(HALF, [0], reference_logprobs_TV=same, advantage=0.0)
    loss_T = BinaryRL(kl_weight=1.0).terms(turn).loss_T
    assert loss_T.tolist() == [0.0]
    assert gradient_of(loss_T, turn) == [[0.0, 0.0, 0.0]]


def test_a_kl_weight_without_its_reference_is_an_error_and_no_silent_zero() -> None:
    with pytest.raises(ValueError, match="no reference pass"):
        BinaryRL(kl_weight=1.0).terms(turn_of(HALF, [0], advantage=1.0))
