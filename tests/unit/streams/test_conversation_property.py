"""Whatever the interleaving of conversations, and whatever clients do to their history, no next state goes astray."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.streams.test_conversation import Served, assistant, normalised, system, user

turns = st.tuples(st.integers(0, 4), st.sampled_from(["whole", "cut", "new system prompt", "repeated context"]))


@given(st.lists(turns, max_size=25))
def test_every_next_state_goes_to_its_action_when_texts_are_unique(schedule: list[tuple[int, str]]) -> None:
    served = Served()
    histories: dict[int, list[dict[str, Any]]] = {}
    newest: dict[int, tuple[str, str, int]] = {}  # conversation -> its id, last action, turn
    read_context: dict[int, bool] = {}  # conversation -> its last action read the context
    for step, (who, manner) in enumerate(schedule):
        history = histories.setdefault(who, [])
        said = user(f"{who} says {step}")
        request = [*history[-2:], said] if manner == "cut" else [*history, said]
        context = [user("the same context for all")] if manner == "repeated context" else []
        head = [system(f"prompt {step}")] if manner == "new system prompt" else []
        match, action = served.turn(*head, *request, *context, reply=assistant(f"reply {step}"))

        if who in newest:
            conversation_id, parent_id, turn = newest[who]
            assert (match.conversation_id, match.parent_action_id, match.turn) == (conversation_id, parent_id, turn + 1)
            assert match.new_messages == normalised((said, *([] if read_context[who] else context)))
            assert not any((match.ambiguous, match.branch, match.unknown_reply))
        else:
            assert match.parent_action_id is None
            assert match.conversation_id not in {conversation_id for conversation_id, _, _ in newest.values()}
        read_context[who] = bool(context)
        newest[who] = (match.conversation_id, action.id, match.turn)
        history += [said, assistant(f"reply {step}")]


@given(st.lists(turns, max_size=12), st.randoms(use_true_random=False))
def test_an_index_restored_from_the_log_in_any_order_matches_like_the_one_that_never_stopped(
    schedule: list[tuple[int, str]], shuffle: Any
) -> None:
    served = Served()
    histories: dict[int, list[dict[str, Any]]] = {}
    for step, (who, _) in enumerate(schedule):
        history = histories.setdefault(who, [])
        history.append(user(f"{who} says {step}"))
        served.turn(*history, reply=assistant(f"reply {step}"))
        history.append(assistant(f"reply {step}"))
    restored = served.empty_index()
    shuffled = list(served.log)
    shuffle.shuffle(shuffled)
    assert restored.restore(shuffled, []) == len(served.log)
    for history in histories.values():
        request = normalised((*history, user("next")))
        before = served.index.match(tenant="default", session_id=None, messages=request)
        after = restored.match(tenant="default", session_id=None, messages=request)
        assert after == before
