"""Half characters and huge numbers that a program tells are recorded as text and numbers that are read back alike."""

import pytest

from schemas.errors import RejectedError
from streams.codec import decode, encode
from streams.conversation import ConversationIndex
from streams.openai_forms import message_of
from streams.record_arguments import refuse_other
from streams.record_items import Answer, Feedback, Turn
from streams.topics import FEEDBACK

TURN = Turn(
    action_id="a",
    time_ms=1,
    policy="assistant",
    tenant="default",
    subject="",
    session_id="s",
    turn_type="main",
    messages=({"role": "user", "content": "hello"},),
    reply="hi",
    model="m",
    request={},
    has_own_id=False,
)


def test_two_halves_are_put_together_and_one_alone_is_replaced() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"for": "\ud800"}'}}
    said = message_of({"role": "assistant", "content": "\ud83d\ude00 and \ud83d", "tool_calls": [call]})
    assert said.content == "\U0001f600 and \ufffd"
    assert said.tool_calls[0].arguments.encode()


def test_a_name_of_half_a_character_is_refused_in_a_sentence() -> None:
    with pytest.raises(RejectedError, match=r"session_id holds half a character \(a lone surrogate\); give whole text"):
        refuse_other("session_id", "\ud800", str)


def test_feedback_is_read_back_as_it_was_given() -> None:
    index = ConversationIndex(max_bytes=10**9, max_age_ms=10**9, max_chain_age_ms=10**9, now_ms=lambda: 1)
    TURN.events(index)
    answer = Answer(tenant="default", action_id="a", session_id=None)
    said = Feedback(id="f", time_ms=2, answer=answer, thumb=None, rating=4, scale=(1, 2**53 + 1), comment="no \ud83d")
    [given] = said.events(index)
    record = encode(FEEDBACK, given, "test")
    assert decode(record.headers, record.value) == given
