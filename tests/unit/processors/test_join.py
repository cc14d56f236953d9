"""Which next state counts, in whatever order things come; what a transition copies."""

from dataclasses import replace

import pytest
from processor_world import BAD, GOOD, action, ended, next_state, resolved, user

from processors.join import JoinState, join, news, observe, refuse, refuse_silence
from schemas.errors import MalformedEventError
from schemas.events import Message

HELLO = (user("hello"),)


def observed(*next_states, ambiguous_trains=False):
    state, skips = JoinState(), []
    for each in next_states:
        state, skip = observe(state, each, ambiguous_trains=ambiguous_trains)
        skips += [skip] if skip else []
    return state, skips


def test_the_first_real_next_state_is_joined_and_later_ones_are_branches():
    second = next_state(text=BAD, id="n-2")
    state, skips = observed(next_state(), second)
    taken = action()
    after, (transition,) = join(taken, resolved(taken, HELLO), state)
    assert transition.next_state_id == "n-a-1"
    assert transition.next_messages == (user(GOOD),)
    assert [(skip.reason, skip.action_id, "n-2" in skip.detail) for skip in skips] == [("branch", "a-1", True)]
    assert after.joined == "messages"
    assert join(taken, resolved(taken, HELLO), after) == (after, [])


def test_the_same_next_state_twice_is_one_next_state():
    assert observed(next_state(), next_state()) == observed(next_state())


def test_a_real_next_state_supersedes_ended():
    state, skips = observed(ended(), next_state())
    taken = action()
    after, transitions = join(taken, resolved(taken, HELLO), state)
    assert [transition.kind for transition in transitions] == ["ended", "messages"]
    assert after.joined == "messages"
    assert skips == []


def test_ended_after_a_real_next_state_says_nothing():
    assert observed(next_state(), ended()) == observed(next_state())


def test_ended_twice_is_ended_once():
    done = ended(id="done-1", ended_reason="done")
    assert observed(ended(), done) == observed(ended())


def test_an_ambiguous_next_state_is_skipped_unless_it_may_train():
    state, (skip,) = observed(next_state(ambiguous=True))
    assert (skip.reason, state.held) == ("ambiguous", ())
    state, skips = observed(next_state(ambiguous=True), ambiguous_trains=True)
    assert (len(state.held), skips) == (1, [])


def test_a_next_state_that_says_nothing_is_rejected():
    with pytest.raises(MalformedEventError, match="neither messages nor exit_code"):
        refuse_silence(next_state(messages=()))


def test_an_exit_code_alone_is_a_next_state():
    state, _ = observed(next_state(messages=(), exit_code=1))
    taken = action()
    _, (transition,) = join(taken, resolved(taken, HELLO), state)
    assert transition.exit_code == 1


def test_a_transition_is_as_new_as_its_newest_input_and_about_the_same_person():
    taken = replace(action(), time_ms=9_000, tenant="acme", source="tool", episode_id="e-1", group_id="g", step=2)
    _, (transition,) = join(taken, resolved(taken, HELLO), observed(next_state())[0])
    assert transition.time_ms == 9_000
    assert (transition.tenant, transition.subject, transition.source) == ("acme", "ada", "tool")
    assert (transition.episode_id, transition.group_id, transition.step) == ("e-1", "g", 2)


def test_the_id_of_a_transition_depends_on_its_inputs_and_nothing_else():
    taken = action()
    _, (one,) = join(taken, resolved(taken, HELLO), observed(next_state())[0])
    _, (again,) = join(taken, resolved(taken, HELLO), observed(next_state())[0])
    _, (other,) = join(taken, resolved(taken, HELLO), observed(next_state(id="n-9"))[0])
    assert one == again
    assert one.id != other.id


def test_news_is_what_came_after_the_last_answer_without_system_messages():
    answer = Message(role="assistant", content="hi")
    system = Message(role="system", content="be kind")
    results = tuple(Message(role="tool", content=text) for text in "ab")
    assert news((system, user("q"), answer, *results, system)) == results
    assert news((system, user("q"))) == (user("q"),)
    assert news((user("q"), answer)) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finish_reason": "aborted"}, "aborted"),
        ({"finish_reason": "error"}, "engine_error"),
        ({"turn_type": "side"}, "side_turn"),
        ({"ambiguous": True}, "ambiguous"),
        ({"response_ids": ()}, "empty_response"),
    ],
)
def test_an_action_that_cannot_train_is_skipped_with_its_reason(changes, reason):
    assert refuse(action(**changes), ambiguous_trains=False).reason == reason


def test_an_ordinary_action_is_not_refused():
    assert refuse(action(), ambiguous_trains=False) is None
    assert refuse(action(ambiguous=True), ambiguous_trains=True) is None
