"""What becomes of tokens that an older version drew."""

import pytest
import torch

from tests.unit.trainer.objectives.turn_of import HALF, HINTED, gradient_of, turn_of
from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.hybrid import Hybrid
from trainer.objectives.topk_distillation import TopKDistillation

STALENESS = torch.tensor([0, 2, 3])
ENGINE = [0.5 / 1.5, 0.5 / 1.5, 0.5 / 3]  # ratios 1.5, 1.5 and 3
distilling = pytest.mark.parametrize("method", [Hybrid, TopKDistillation])


@distilling
def test_distillation_of_stale_tokens_is_weighted_by_a_truncated_ratio(method: type) -> None:
    turn = turn_of(HALF * 3, [0, 0, 0], engine=ENGINE, teachers=(HINTED * 3,), staleness_T=STALENESS)
    plain = method(top_k=2).terms(turn).loss_T
    weighted = method(top_k=2, stale="truncate", stale_cap=2.0).terms(turn).loss_T
    assert (weighted / plain).tolist() == pytest.approx([1.0, 1.5, 2.0])


def test_the_weight_is_a_number_and_no_part_of_the_gradient() -> None:
    turn = turn_of(HALF, [0], engine=[0.5 / 1.5], teachers=(HINTED,), staleness_T=torch.tensor([1]))
    plain, weighted = (
        gradient_of(Hybrid(top_k=3, stale=stale).terms(turn).loss_T, turn)[0] for stale in ("ratio", "truncate")
    )
    assert weighted == pytest.approx([1.5 * slope for slope in plain])


def test_a_verdicts_own_ratio_is_not_weighted_twice() -> None:
    turn = turn_of(HALF, [0], engine=[0.5 / 1.2], advantage=1.0, staleness_T=torch.tensor([1]))
    assert Hybrid(stale="truncate").terms(turn).loss_T.tolist() == pytest.approx([-0.5 * 1.2])


def test_tokens_beyond_the_bound_are_dropped_and_the_share_is_told() -> None:
    turn = turn_of(HALF * 3, [0, 0, 0], staleness_T=STALENESS, advantage=1.0)
    terms = BinaryRL(stale="drop", stale_bound=2).terms(turn)
    assert terms.loss_T.tolist() == [-1.0, -1.0, 0.0]
    assert gradient_of(terms.loss_T, turn)[2] == [0.0, 0.0, 0.0]
    assert terms.metrics["stale_dropped"] == pytest.approx(1 / 3)
    assert "stale_dropped" not in BinaryRL(stale="drop", stale_bound=3).terms(turn).metrics


def test_a_turn_that_is_dropped_as_a_whole_still_has_a_gradient_of_zero() -> None:
    turn = turn_of(HALF, [0], staleness_T=torch.tensor([1]), teachers=(HINTED,), advantage=1.0)
    terms = Hybrid(top_k=2, stale="drop", stale_bound=0).terms(turn)
    assert terms.loss_T.tolist() == [0.0]
    assert gradient_of(terms.loss_T, turn) == [[0.0, 0.0, 0.0]]
    assert terms.metrics == {"stale_dropped": 1.0}


def test_what_was_masked_before_is_not_counted_as_dropped() -> None:
    turn = turn_of(HALF * 3, [0, 0, 0], staleness_T=STALENESS, mask_T=torch.tensor([True, False, True]), advantage=1.0)
    terms = BinaryRL(stale="drop", stale_bound=1).terms(turn)
    assert terms.loss_T.tolist() == [-1.0, 0.0, 0.0]
    assert terms.metrics["stale_dropped"] == 0.5


def test_off_policy_a_verdict_teaches_each_token_as_far_as_the_policy_would_say_it() -> None:
    student = [[0.5, 0.3, 0.2], [0.98, 0.01, 0.01]]
    for advantage in (1.0, -1.0):
        turn = turn_of(student, [0, 1], advantage=advantage, is_off_policy=True)
        loss_T = BinaryRL().terms(turn).loss_T
        assert loss_T.tolist() == pytest.approx([-advantage * 0.5, -advantage * 0.01])
        slopes = [row[token] for row, token in zip(gradient_of(loss_T, turn), [0, 1], strict=True)]
        assert slopes == pytest.approx([-advantage * 0.5, -advantage * 0.01])  # on policy: 1 each, however unlikely


def test_off_policy_the_ratio_is_to_the_version_that_scored() -> None:
    turn = turn_of(HALF, [0], engine=[0.25], advantage=1.0, is_off_policy=True)  # twice as likely since
    assert BinaryRL().terms(turn).loss_T.tolist() == pytest.approx([-1.28 * 0.25])


@distilling
def test_off_policy_a_hint_teaches_as_ever_unless_it_shall_go_where_the_policy_goes(method: type) -> None:
    turn = turn_of(HALF, [1], teachers=(HINTED,), is_off_policy=True)
    known = turn_of(HALF, [1], teachers=(HINTED,))
    plain = method(top_k=2).terms(known).loss_T.tolist()
    assert method(top_k=2).terms(turn).loss_T.tolist() == plain
    assert method(top_k=2, stale="truncate").terms(turn).loss_T.tolist() == pytest.approx([0.3 * plain[0]])


def test_to_drop_stale_tokens_drops_those_that_no_version_drew() -> None:
    turn = turn_of(HALF, [0], advantage=1.0, is_off_policy=True)
    assert BinaryRL(stale="drop", stale_bound=9).terms(turn).loss_T.tolist() == [0.0]
