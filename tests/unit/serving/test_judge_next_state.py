"""Who spoke after an action, and what of it is the speaker's own."""

import pytest
from example_transition import example_transition

from schemas.events import Message, Source
from serving.judges.next_state import NextState, own_text, read_next_state, read_question


def user(text: str) -> Message:
    return Message(role="user", content=text)


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("[Sat 2026-11-21 06:22 UTC] too long", "too long"),
        ("[Sat 2026-11-21 06:22 UTC] hi\nRuntime: agent=main | sessionId=s1 | thinking=off", "hi"),
        ("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nsecret plans\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>", ""),
        ("shorter\n<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>> never closed", "shorter"),
        ("[1, 2] is not what I meant", "[1, 2] is not what I meant"),
    ],
)
def test_only_what_the_user_typed_is_the_users_word(sent: str, typed: str) -> None:
    assert own_text(user(sent)) == typed


def test_a_clients_own_messages_are_no_part_of_the_reply() -> None:
    context = user("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nnotes\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>")
    assert read_next_state(example_transition(user("no lists!"), context)) == NextState(reply="no lists!", results=())


def test_results_and_reply_are_kept_apart() -> None:
    tool = Message(role="tool", content="42", tool_call_id="1")
    assert read_next_state(example_transition(tool, tool, user("thanks"))) == NextState(
        reply="thanks", results=("42", "42")
    )


@pytest.mark.parametrize("source", ["terminal", "gui", "swe"])
def test_where_there_are_no_users_a_user_message_is_an_observation(source: Source) -> None:
    assert read_next_state(example_transition(user("done"), source=source)) == NextState(reply="", results=("done",))


@pytest.mark.parametrize("text", ["<returncode>1</returncode>\n<output>x</output>", "Observation: the door is open"])
def test_an_observation_in_a_chat_is_known_by_its_form(text: str) -> None:
    assert read_next_state(example_transition(user(text))).results == (text,)


def test_the_question_is_what_users_said_and_nothing_else() -> None:
    context = (
        Message(role="tool", content="42", tool_call_id="1"),
        user("[Sat 2026-11-21 06:22 UTC] why?"),
        user("and how?"),
    )
    assert read_question(example_transition(context=context)) == "why?\nand how?"
