"""Which hint teaches, by hand."""

import pytest
import torch

from tests.unit.trainer.objectives.turn_of import HALF, turn_of
from trainer.objectives.hints import choose_hint, longest_hint

FAR, NEAR = [0.1, 0.2, 0.7], [0.45, 0.35, 0.2]
LIKELIER, UNLIKELIER = [0.6, 0.3, 0.1], [0.4, 0.35, 0.25]


def test_the_hint_whose_teacher_is_nearest_is_chosen() -> None:
    chosen = choose_hint(turn_of(HALF, [0], teachers=([FAR], [NEAR])), "sequence_optimal", 2)
    assert (chosen.index_T.tolist(), chosen.overlap) == ([1], 1.0)
    assert chosen.logprobs_TV.exp().tolist() == [pytest.approx(NEAR)]


def test_a_sequence_has_one_hint_and_tokens_may_have_their_own() -> None:
    teachers = ([NEAR, FAR, NEAR], [FAR, NEAR, FAR])
    turn = turn_of(HALF * 3, [0, 0, 0], teachers=teachers)
    whole, each = (choose_hint(turn, selection, 2) for selection in ("sequence_optimal", "token_optimal"))
    assert (whole.index_T.tolist(), whole.overlap) == ([0, 0, 0], pytest.approx(2.5 / 3))
    assert (each.index_T.tolist(), each.overlap) == ([0, 1, 0], 1.0)
    torch.testing.assert_close(each.logprobs_TV.exp(), torch.tensor([NEAR] * 3))


@pytest.mark.parametrize("selection", ["sequence_optimal", "token_optimal", "shortest"])
def test_equally_good_hints_are_told_apart_by_what_was_answered(selection: str) -> None:
    teachers = ([UNLIKELIER], [LIKELIER], [UNLIKELIER])
    turn = turn_of(HALF, [0], teachers=teachers, num_hint_tokens=[7, 7, 7])
    assert choose_hint(turn, selection, 2).index_T.tolist() == [1]


def test_the_shortest_or_longest_hint_wins_however_far_its_teacher_is() -> None:
    turn = turn_of(HALF, [0], teachers=([NEAR], [FAR]), num_hint_tokens=[9, 5])
    shortest = choose_hint(turn, "shortest", 2)
    assert (shortest.index_T.tolist(), shortest.overlap) == ([1], 0.5)
    assert longest_hint(turn).exp().tolist() == [pytest.approx(NEAR)]


def test_a_rule_by_length_refuses_to_guess_lengths() -> None:
    turn = turn_of(HALF, [0], teachers=([NEAR], [FAR]), num_hint_tokens=())
    for rule in (lambda: longest_hint(turn), lambda: choose_hint(turn, "shortest", 2)):
        with pytest.raises(ValueError, match="one length per teacher"):
            rule()
