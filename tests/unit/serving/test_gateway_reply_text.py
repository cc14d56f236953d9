"""What of a growing reply may be shown, and that what was shown is what is recorded."""

from hypothesis import given
from hypothesis import strategies as st

from serving.reply_ids import action_of
from serving.reply_text import ReplyText
from tests.unit.serving.gateway_fakes import CharacterRenderer
from tests.unit.serving.test_gateway import CALL

pieces = st.lists(st.text(alphabet="<tool_call> \nab{}", max_size=12), max_size=12)


@given(pieces)
def test_without_tools_everything_is_shown_at_once_and_unchanged(parts: list[str]) -> None:
    reply = ReplyText(None)
    shown = "".join(reply.add(part) for part in parts)
    rest, message = reply.finish("a1")
    assert (shown, rest, message.content) == ("".join(parts), "", "".join(parts))


@given(st.text(alphabet="ab< \n>", max_size=30), st.integers(1, 7), st.booleans())
def test_with_tools_what_is_shown_is_what_is_recorded_however_the_text_is_cut(
    text: str, size: int, calls: bool
) -> None:
    whole = text + CALL if calls else text
    reply = ReplyText(CharacterRenderer())
    shown = "".join(reply.add(whole[i : i + size]) for i in range(0, len(whole), size))
    assert "<tool_call>" not in shown
    rest, message = reply.finish("a1")
    assert shown + rest == message.content
    assert len(message.tool_calls) == calls
    assert calls or message.content == text


def test_text_that_only_begins_like_a_call_is_shown_as_soon_as_it_turns_out_not_to_be_one() -> None:
    reply = ReplyText(CharacterRenderer())
    assert reply.add("1 <to") == "1"
    assert reply.add("day") == " <today"


def test_calls_get_ids_that_differ_and_name_their_action() -> None:
    reply = ReplyText(CharacterRenderer())
    reply.add(CALL + CALL)
    _, message = reply.finish("a1")
    first, second = (call.id for call in message.tool_calls)
    assert first != second
    assert [action_of(call.id or "") for call in message.tool_calls] == ["a1", "a1"]
