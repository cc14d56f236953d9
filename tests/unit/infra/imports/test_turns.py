"""An old conversation as events: which replies are turns, what follows them, whose and when they are."""

from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Any

import pytest
from old_chats_made import TARGET, said, talk
from processor_world import LetterRenderer

from infra.imports.turns import Target, events_of
from processors.chain import MissingBase, whole_prompt
from schemas.errors import RejectedError
from schemas.events import ActionTaken, Event, Message, NextStateObserved, Sampling, ToolCall
from schemas.messages import canonical_json
from schemas.validate import validate
from streams.formats.old_chats import OldConversation

FILE_MS = 1_700_000_000_000
TALK = ("s:Be kind.", "u:hello", "a:hi", "u:louder", "a:HI", "u:thanks")


def events(old: OldConversation, target: Target = TARGET, known: Container[str] = ()) -> list[Event]:
    return list(events_of(old, target, LetterRenderer(), file_time_ms=FILE_MS, known=known))


def actions(found: Iterable[Event]) -> list[ActionTaken]:
    return [event for event in found if isinstance(event, ActionTaken)]


def next_states(found: Iterable[Event]) -> list[NextStateObserved]:
    return [event for event in found if isinstance(event, NextStateObserved)]


def heard(found: Iterable[Event]) -> list[tuple[str, list[str]]]:
    """Each turn's answer, and the words of its next state."""
    replies = {action.id: action.reply.content for action in actions(found)}
    return [(replies[state.action_id], [one.content for one in state.messages]) for state in next_states(found)]


def test_every_reply_is_a_turn_and_what_follows_it_is_its_next_state() -> None:
    found = events(talk(*TALK))
    assert [type(event) for event in found] == [ActionTaken, NextStateObserved] * 2
    assert heard(found) == [("hi", ["louder"]), ("HI", ["thanks"])]
    first, second = actions(found)
    assert (first.turn, second.turn) == (0, 1)
    assert (first.parent_action_id, second.parent_action_id) == (None, first.id)
    assert len({event.conversation_id for event in found}) == 1


def test_nobody_drew_the_tokens_and_no_number_says_so() -> None:
    for action in actions(events(talk(*TALK))):
        validate(action)
        assert (action.logprob_origin, action.response_logprobs, action.token_versions) == ("unscored", (), ())
        assert "".join(map(chr, action.response_ids)) == f"assistant:{action.reply.content}\n"
        assert (action.sampling, action.adapter, action.model) == (Sampling(), None, "")


def test_what_nothing_follows_has_ended() -> None:
    (state,) = next_states(events(talk("u:hello", "a:hi")))
    assert (state.kind, state.ended_reason, state.messages) == ("ended", "done", ())
    (state,) = next_states(events(talk("u:hello", "a:hi", "s:The session is over.")))
    assert state.kind == "ended"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("a:Welcome!", "u:hello", "a:hi", "u:ok"), [("hi", ["ok"])]),  # it answered nobody
        (("u:hello", "a:one", "a:two", "u:ok"), [("one", [])]),
        (("u:hello", "a:", "a:hi", "u:ok"), [("hi", ["ok"])]),  # an empty reply is none
        (("u:hello", "a:hi", "t:1", "t:2", "u:go on", "s:note", "a:so"), [("hi", ["1", "2", "go on"]), ("so", [])]),
        (("s:Be kind.", "a:hi", "u:hello"), []),
        (("u:hello", "u:anybody?"), []),
    ],
)
def test_which_replies_are_turns(texts: tuple[str, ...], expected: list[tuple[str, list[str]]]) -> None:
    assert heard(events(talk(*texts))) == expected


def test_prompts_are_stored_as_what_is_new_and_whole_now_and_then() -> None:
    texts = [f"{role}:{number}" for number in range(40) for role in "ua"]
    found = actions(events(talk(*texts)))
    by_id = {action.id: action for action in found}
    for number, action in enumerate(found):
        prompt = whole_prompt(action, by_id.get)
        assert not isinstance(prompt, MissingBase)
        assert [message.content for message in prompt.messages][-1] == str(number)
        assert len(prompt.messages) == 2 * number + 1
        assert "".join(map(chr, prompt.prompt_ids)).endswith(
            f"assistant:{number - 1}\nuser:{number}\n" if number else ""
        )
    assert [number for number, action in enumerate(found) if action.base_action_id is None] == [0, 17, 34]
    assert {len(action.messages) for action in found if action.base_action_id} == {1}


def test_the_same_words_are_the_same_events_whatever_else_their_file_says() -> None:
    one, other = talk(*TALK), talk(*TALK, line=99)
    calls = tuple(replace(each, message=replace(each.message, tool_call_id="x")) for each in other.said)
    assert [event.id for event in events(replace(other, said=calls))] == [event.id for event in events(one)]
    known = {event.id for event in events(one)}
    assert events(one, known=known) == []


@pytest.mark.parametrize(
    "changes",
    [{"policy": "other"}, {"tenant": "acme"}],
)
def test_another_policy_or_tenant_has_turns_of_its_own(changes: dict[str, Any]) -> None:
    ids = {event.id for event in events(talk(*TALK))}
    others = events(talk(*TALK), replace(TARGET, **changes))
    assert not ids & {event.id for event in others}
    assert {getattr(event, name) for event in others for name in changes} == set(changes.values())


def test_other_tools_are_another_conversation() -> None:
    tools = canonical_json([{"type": "function", "function": {"name": "look"}}])
    others = events(talk(*TALK, tools=tools))
    assert not {event.id for event in events(talk(*TALK))} & {event.id for event in others}
    assert {action.tools for action in actions(others)} == {tools}


def test_a_longer_export_adds_its_new_turns_stored_whole() -> None:
    short, long = events(talk(*TALK[:4])), events(talk(*TALK))
    added = events(talk(*TALK), known={event.id for event in short})
    assert {event.id for event in added} == {event.id for event in long} - {event.id for event in short}
    (action,) = actions(added)
    assert action.base_action_id is None, "the earlier turn may be forgotten by now"
    assert action.parent_action_id == actions(short)[0].id
    assert action.conversation_id == short[0].conversation_id


def test_two_ways_on_are_branches_of_one_conversation() -> None:
    one, other = (events(talk("u:hello", "a:hi", f"u:{words}")) for words in ("thanks", "louder"))
    assert one[0].id == other[0].id
    assert one[1].id != other[1].id
    assert {event.conversation_id for event in (*one, *other)} == {one[0].conversation_id}


def test_times_are_the_files_and_never_run_backwards() -> None:
    times_ms = [None, 5_000, None, 4_000, 9_000, None]
    timed = replace(talk(), said=tuple(said(text, time_ms) for text, time_ms in zip(TALK, times_ms, strict=True)))
    assert [event.time_ms for event in events(timed)] == [5_002, 5_003, 9_000, 9_001]


def test_without_any_time_it_is_that_of_the_file() -> None:
    assert [event.time_ms - FILE_MS for event in events(talk(*TALK))] == [2, 3, 4, 5]


def test_a_turn_that_the_context_cannot_hold_ends_the_conversation_there() -> None:
    target = replace(TARGET, context_length=40)  # the first turn has 40 letters
    read = events_of(talk(*TALK), target, LetterRenderer(), file_time_ms=FILE_MS, known=())
    assert isinstance(next(read), ActionTaken)
    assert isinstance(next(read), NextStateObserved)
    with pytest.raises(RejectedError, match=r"From message 5 on .* 65 tokens, but the policy's context holds 40"):
        next(read)


def test_an_exit_code_is_that_of_the_result_that_failed() -> None:
    for codes, code in (((0, 3, 0), 3), ((0, 0), 0), ((None,), None)):
        results = tuple(replace(said("t:x"), exit_code=one) for one in codes)
        old = replace(talk(), said=(said("u:go"), said("a:going"), *results))
        (state,) = next_states(events(old))
        assert (state.exit_code, state.source) == (code, "tool")


def test_a_reply_that_calls_a_tool_waits_for_it_and_its_end_is_kept() -> None:
    call = Message(role="assistant", tool_calls=(ToolCall(name="look", arguments="{}"),))
    reply = replace(said("a:"), message=call, model="m")
    cut = replace(said("a:and"), finish_reason="length")
    first, second = actions(events(replace(talk(), said=(said("u:go"), reply, said("t:x"), cut))))
    assert (first.source, first.finish_reason, first.model) == ("tool", "tool_calls", "m")
    assert (second.source, second.finish_reason) == ("chat", "length")


def test_whom_they_are_about_is_said_by_the_user_or_else_by_the_file() -> None:
    old = talk(*TALK, subject="ada")
    assert {event.subject for event in events(old)} == {"ada"}
    target = replace(TARGET, subject="bob", source="swe")
    assert {(event.subject, event.source) for event in events(old, target)} == {("bob", "swe")}
