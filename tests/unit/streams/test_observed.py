"""Answers of other models as events: what they follow, whose they are, and that telling one twice adds nothing."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.events import ActionTaken, Event, Message, NextStateObserved, ToolCall
from schemas.origin import lacks_tokens
from schemas.prompt import resolve
from streams.codec import decode, encode
from streams.conversation import ConversationIndex
from streams.observed import ObservedTurn, events_of_observed, observed_id
from streams.topics import TOPIC_OF

HELLO, LOUDER = (Message(role="user", content=text) for text in ("hello", "louder"))
SYSTEM = Message(role="system", content="Be kind.")


def empty_index() -> ConversationIndex:
    return ConversationIndex(max_bytes=10**9, max_age_ms=10**15, max_chain_age_ms=10**15, now_ms=lambda: 5_000)


def said(text: str) -> Message:
    return Message(role="assistant", content=text)


def turn(name: str, *messages: Message, reply: str = "hi", **own: Any) -> ObservedTurn:
    own = {"reply": said(reply), "time_ms": 5_000, "finish_reason": "stop", **own}
    tenant = own.get("tenant", "default")
    return ObservedTurn(
        action_id=observed_id(tenant, name), policy="assistant", model="gpt-x", messages=messages, **own
    )


def told(index: ConversationIndex, *turns: ObservedTurn) -> list[Event]:
    return [event for one in turns for event in events_of_observed(one, index)]


def test_an_answer_is_told_in_words_and_can_be_recorded() -> None:
    (action,) = told(empty_index(), turn("1", SYSTEM, HELLO))
    assert isinstance(action, ActionTaken)
    assert lacks_tokens(action)
    assert (action.model, action.policy, action.adapter) == ("gpt-x", "assistant", None)
    encoded = encode(TOPIC_OF[ActionTaken], action, "test")
    assert decode(encoded.headers, encoded.value) == action


def test_the_next_request_says_what_followed_and_is_kept_as_what_is_new() -> None:
    first, state, second = told(
        empty_index(), turn("1", HELLO), turn("2", HELLO, said("hi"), LOUDER, reply="HI", time_ms=6_000)
    )
    assert isinstance(first, ActionTaken)
    assert isinstance(state, NextStateObserved)
    assert isinstance(second, ActionTaken)
    assert (state.action_id, state.messages, state.time_ms) == (first.id, (LOUDER,), 6_000)
    assert (second.parent_action_id, second.base_action_id, second.turn) == (first.id, first.id, 1)
    assert {event.conversation_id for event in (first, state, second)} == {first.conversation_id}
    assert (second.messages, second.kept_messages) == ((LOUDER,), 2)
    assert resolve(second, resolve(first, None)).messages == (HELLO, said("hi"), LOUDER)


def test_a_turn_told_again_adds_nothing_and_elsewhere_is_the_same_events() -> None:
    index, turns = empty_index(), (turn("1", HELLO), turn("2", HELLO, said("hi"), LOUDER, reply="HI"))
    events = told(index, *turns)
    assert told(index, *turns) == []
    assert told(empty_index(), *turns) == events


def test_what_was_not_recorded_can_be_told_again() -> None:
    index = empty_index()
    told(index, turn("1", HELLO))
    again = turn("2", HELLO, said("hi"), LOUDER)
    lost = told(index, again)
    index.forget(again.action_id)
    assert told(index, again) == lost


def test_a_forgotten_base_is_kept_by_what_builds_on_it() -> None:
    index, first = empty_index(), turn("1", HELLO)
    told(index, first, turn("2", HELLO, said("hi"), LOUDER, reply="HI"))
    index.forget(first.action_id)
    _, third = told(index, turn("3", HELLO, said("hi"), LOUDER, said("HI"), HELLO))
    assert third.parent_action_id == observed_id("default", "2")  # type: ignore[attr-defined]


def test_conversations_are_named_by_sessions_and_tenants_never_meet() -> None:
    index = empty_index()
    reply = (HELLO, said("hi"), LOUDER)
    (named,) = told(index, turn("1", HELLO, session_id="s"))
    assert len(told(index, turn("2", *reply, session_id="other"))) == 1
    assert len(told(index, turn("3", *reply, tenant="acme"))) == 1
    state, action = told(index, turn("4", *reply, session_id="s"))
    assert {state.conversation_id, action.conversation_id} == {named.conversation_id}
    assert observed_id("default", "1") != observed_id("acme", "1")


@pytest.mark.parametrize(("source", "expected"), [(None, ["tool", "tool", "chat"]), ("swe", ["swe"] * 3)])
def test_who_answers_is_said_by_the_words_or_by_the_caller(source: Any, expected: list[str]) -> None:
    call = Message(role="assistant", tool_calls=(ToolCall(name="look", arguments="{}", id="1"),))
    result = Message(role="tool", content="42", tool_call_id="1")
    first = turn("1", HELLO, source=source)
    events = told(empty_index(), replace(first, reply=call), turn("2", HELLO, call, result, source=source))
    assert [event.source for event in events] == expected
