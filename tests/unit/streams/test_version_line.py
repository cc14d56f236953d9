"""What the gate and rollbacks make of a policy's versions."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event
from tests.version_lines import line_of, promoted, published, refused, rolled_back


def test_nothing_published_is_the_base_model() -> None:
    line = line_of()
    assert (line.head, line.newest, line.weights(0), line.behind(0)) == (0, 0, None, 0)


def test_what_a_version_was_trained_on_is_not_kept() -> None:
    ids = tuple(f"id-{number}" for number in range(100))
    whole = replace(published(1), batch_ids=ids, sample_ids=ids, action_ids=ids, metrics={"reward_mean": 0.5})
    assert line_of(whole).weights(1) == replace(published(1), metrics={"reward_mean": 0.5})


def test_without_decisions_the_newest_version_counts() -> None:
    line = line_of(published(1), published(2), published(3))
    assert (line.head, line.newest) == (3, 3)
    assert [line.behind(version) for version in (0, 1, 2, 3)] == [3, 2, 1, 0]


def test_training_continues_from_the_newest_version_that_is_not_refused() -> None:
    line = line_of(published(1), promoted(1), published(2), refused(2), published(3))
    assert line.head == 1
    assert line.refused_by(3) == 2
    assert line.newest == 3


def test_refused_versions_make_nobody_stale() -> None:
    line = line_of(published(1), promoted(1), *(e for v in range(2, 20) for e in (published(v, 1), refused(v))))
    assert line.behind(1) == 0
    line.note(published(20, 1))
    assert (line.head, line.behind(1), line.behind(0)) == (20, 1, 2)


def test_a_rollback_is_a_new_version_with_old_weights_and_an_old_parent() -> None:
    line = line_of(published(1), published(2), published(3), rolled_back(4, 1), published(5, 4))
    assert line.head == 5
    assert line.weights(4) == published(1)
    assert list(line.ancestry(5)) == [5, 4, 1, 0]
    assert [version for version in range(6) if line.is_left_behind(version)] == [2, 3]
    assert line.behind(3) == 2


def test_a_rollback_of_a_rollback_and_one_to_the_base_model_find_their_weights() -> None:
    line = line_of(published(1), rolled_back(2, 1), rolled_back(3, 2), rolled_back(4, 0))
    assert line.weights(3) == published(1)
    assert (line.origin(4), line.weights(4), line.head) == (0, None, 4)


def test_the_first_decision_on_a_version_counts() -> None:
    assert not line_of(published(1), promoted(1), refused(1)).is_refused(1)
    assert line_of(published(1), refused(1), promoted(1)).is_refused(1)


def test_a_parent_that_comes_later_ends_the_walk() -> None:
    assert list(line_of(published(1, 1)).ancestry(1)) == [1]


EVENTS = (
    published(1),
    promoted(1),
    published(2),
    refused(2),
    published(3),
    refused(3),
    published(4, 1),
    rolled_back(5, 1),
    published(6, 5),
)


@given(st.permutations(EVENTS), st.lists(st.sampled_from(EVENTS)))
def test_order_between_topics_and_duplicates_change_nothing(events: Sequence[Event], again: Sequence[Event]) -> None:
    assert line_of(*events, *again) == line_of(*EVENTS)


@pytest.mark.parametrize(("version", "known"), [(0, True), (6, True), (5, True), (7, False), (-1, False)])
def test_a_version_is_known_once_it_is_published_or_rolled_back_to(version: int, known: bool) -> None:
    assert line_of(*EVENTS).knows(version) is known
