"""What Vercel's AI SDK tells in words of its own; what it really sends is in tests/data/otlp."""

from typing import Any

import orjson
import pytest

from schemas.events import ToolCall
from tests.unit.serving.otlp_talk import said
from tests.unit.serving.test_otlp_spellings import reason_of, the_one, turn_of

CALL = {"ai.operationId": "ai.generateText.doGenerate", "gen_ai.request.model": "gpt"}


def told(*messages: dict[str, Any], **reply: Any) -> dict[str, Any]:
    """Attributes of a model call as the SDK writes them."""
    told = {f"ai.response.{name}": plain for name, plain in reply.items()}
    return CALL | {"ai.prompt.messages": orjson.dumps(messages).decode()} | told


def from_user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": parts}


QUESTION = from_user({"type": "text", "text": "q"})


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ({"output": {"type": "text", "value": "21 C"}}, "21 C"),
        ({"output": {"type": "error-text", "value": "no city"}}, "no city"),
        ({"output": {"type": "json", "value": {"b": 1, "a": [2]}}}, '{"a":[2],"b":1}'),
        ({"output": {"type": "content", "value": [{"type": "text", "text": "x"}]}}, '[{"text":"x","type":"text"}]'),
        ({"output": {"type": "execution-denied"}}, "Tool execution denied."),
        ({"output": {"type": "execution-denied", "reason": "too dear"}}, "too dear"),
        ({"result": "21 C"}, "21 C"),
        ({"result": {"degrees": 21}}, '{"degrees":21}'),
    ],
)
def test_what_a_tool_gave_is_what_the_model_read(output: dict[str, Any], content: str) -> None:
    result = {"type": "tool-result", "toolCallId": "1", "toolName": "f", **output}
    turn = turn_of(told(QUESTION, {"role": "tool", "content": [result]}, text="x"))
    assert turn.messages == (said("user", "q"), said("tool", content, "1"))


def test_calls_and_files_of_a_reply_are_told() -> None:
    calls = '[{"toolCallId":"1","toolName":"f","input":"{\\"b\\":1}"},{"toolCallId":"2","toolName":"g","args":{}}]'
    reply = turn_of(told(QUESTION, text="Let me see.", toolCalls=calls)).reply
    assert reply.content == "Let me see."
    assert reply.tool_calls == (
        ToolCall(id="1", name="f", arguments='{"b":1}'),
        ToolCall(id="2", name="g", arguments="{}"),
    )
    files = '[{"type":"file","mediaType":"image/png","data":"AAAA"}]'
    assert turn_of(told(QUESTION, files=files)).reply.media[0].num_bytes == 3
    assert turn_of(told(QUESTION, object='{"a":1}')).reply.content == '{"a":1}'


@pytest.mark.parametrize(
    "file",
    [
        {"type": "file", "mediaType": "image/png", "data": "AAAA"},
        {"type": "file", "mediaType": "image/png", "data": {"type": "data", "data": "AAAA"}},
        {"type": "file", "mediaType": "image/png", "data": "data:image/png;base64,AAAA"},
        {"type": "image", "mimeType": "image/png", "image": "AAAA"},
    ],
)
def test_a_picture_is_known_by_its_bytes(file: dict[str, Any]) -> None:
    [message] = turn_of(told(from_user(file), text="x")).messages
    assert [(medium.kind, medium.num_bytes) for medium in message.media] == [("image_url", 3)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ai.prompt.messages": '[{"role":"us'}, "unreadable"),
        ({"ai.prompt.messages": "3"}, "unreadable"),
        ({"ai.prompt.messages": '["hi"]'}, "unreadable"),
        ({"ai.prompt.tools": ["{"]}, "unreadable"),
        ({"ai.response.toolCalls": "{}"}, "unreadable"),
        ({"ai.prompt.messages": "[]"}, "no_content"),
        ({"ai.response.text": ""}, "no_content"),
    ],
)
def test_a_call_that_cannot_be_a_turn_says_why(change: dict[str, Any], reason: str) -> None:
    assert reason_of(told(QUESTION, text="x") | change) == reason


def test_why_a_reply_ended_may_be_told_with_a_hyphen() -> None:
    attributes = told(QUESTION, text="x") | {"gen_ai.response.finish_reasons": ["content-filter"]}
    assert turn_of(attributes).finish_reason == "error"


def test_a_call_that_records_no_words_says_so_and_its_other_spans_are_foreign() -> None:
    assert reason_of(CALL) == "no_content"
    for other in ("ai.generateText", "ai.toolCall", "ai.embed.doEmbed"):
        assert the_one({"ai.operationId": other, "ai.response.text": "x"}) == "foreign"
