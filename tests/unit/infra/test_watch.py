"""What is under way in a stack is read off its log, in whatever order topics come."""

from itertools import permutations

import pytest
from round_events import batch, checkpoint, loaded, next_state, sample, skip

from infra.watch import Observed
from schemas import events as e


def see(observed: Observed, *events: e.Event) -> Observed:
    for event in events:
        observed.see(event, "any")
    return observed


def test_a_stack_in_which_nobody_has_spoken_is_settled() -> None:
    assert Observed(batch_size=1).is_settled


ROUND = (next_state("a"), next_state("b"), sample("a"), skip("b", "build"), batch("a"), checkpoint(1, "a"), loaded(1))


@pytest.mark.parametrize("missing", ROUND[2:], ids=lambda event: event.id)
def test_a_round_is_settled_when_nothing_of_it_is_missing_whatever_came_first(missing: e.Event) -> None:
    for order in permutations(event for event in ROUND if event is not missing):
        observed = see(Observed(batch_size=1), *order)
        assert not observed.is_settled
        assert see(observed, missing).is_settled


def test_samples_that_fill_no_batch_wait_for_more_to_come() -> None:
    observed = see(Observed(batch_size=2), next_state("a"), sample("a"))
    assert observed.is_settled
    see(observed, next_state("b"), sample("b"))
    assert not observed.is_settled
    assert see(observed, skip("b", "pack")).is_settled  # it could not be encoded


def test_a_second_next_state_says_nothing_of_the_turn_and_an_end_opens_none() -> None:
    observed = see(Observed(batch_size=2), next_state("a"), skip("a", "join", "branch"))
    assert observed.waiting_for_sample == 1
    see(observed, sample("a"), next_state("b", kind="ended"))
    assert observed.waiting_for_sample == 0


def test_a_batch_that_makes_no_version_does_not_wait_for_ever() -> None:
    observed = see(Observed(batch_size=8), batch("a", "b"), batch("c"), skip("c", "join"), skip("a", "trainer"))
    assert observed.waiting_for_training == 2
    see(observed, skip("b", "trainer"))
    assert observed.waiting_for_training == 1
    see(observed, checkpoint(1, "c", "d"))
    assert observed.waiting_for_training == 0
    see(observed, batch("d"))  # topics are read side by side
    assert observed.waiting_for_training == 0
