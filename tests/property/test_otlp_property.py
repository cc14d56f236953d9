"""Whatever is sent to the OTLP receiver: it answers as the protocol says, and nothing that is odd becomes a defect."""

import asyncio
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.otlp.model_call import SpanRefusedError
from serving.otlp.spans import spans_of_traces
from serving.otlp.turns import read_spans
from streams.codec import decode, encode
from streams.conversation import ConversationIndex
from streams.observed import ObservedTurn, events_of_observed
from streams.topics import TOPIC_OF
from tests.unit.serving.gateway_fakes import Bench
from tests.unit.serving.otlp_talk import JSON, PROTOBUF, batch, body, content_type, span

PATHS = ["/v1/traces", "/v1/logs"]
PAYLOADS = ["semconv.pb", "semconv.json", "openllmetry_flat.pb", "openinference.pb", "span_events_2.pb"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
NAMES = ["resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "stringValue", "traceId", "events"]
OTLP_LIKE = st.recursive(
    JSON_VALUES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
)
ROLES = st.sampled_from(["user", "assistant", "tool", "system", "wizard"]) | JSON_VALUES
PART_TYPES = ["text", "tool_call", "tool_call_response", "blob", "uri", "image_url"]
PART_KEYS = ["content", "text", "name", "arguments", "id", "response", "toolUse", "blob"]
VERCELS_PART_TYPES = ["tool-call", "tool-result", "file"]
VERCELS_PART_KEYS = ["toolName", "input", "output", "data", "mediaType"]
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from([*PART_TYPES, *VERCELS_PART_TYPES]) | JSON_VALUES},
    optional=dict.fromkeys([*PART_KEYS, *VERCELS_PART_KEYS], JSON_VALUES),
)
DEEP = st.integers(1, 1024).map(lambda depth: "[" * depth + "1.5" + "]" * depth)  # as deep as orjson reads
CALLS = st.lists(
    st.fixed_dictionaries(
        {"function": st.fixed_dictionaries({"name": st.text(max_size=5), "arguments": DEEP | JSON_VALUES})}
    )
    | JSON_VALUES,
    max_size=2,
)
PICTURES = st.lists(st.fixed_dictionaries({"type": st.just("blob"), "content": st.text(max_size=8)}), max_size=2)
ODD = st.integers(0, 9) | st.booleans() | st.text(max_size=3)  # a recursive strategy seldom draws these
SAID = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"])},
    optional={"parts": PICTURES, "content": st.text(max_size=5), "tool_calls": CALLS | ODD},
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": ROLES, "parts": st.lists(PARTS | JSON_VALUES, max_size=3) | JSON_VALUES})
    | SAID
    | JSON_VALUES,
    max_size=3,
)
STEPS = ["0", "1", "role", "content", "message", "tool_calls", "function", "name", "arguments", "contents", "x"]
FLAT = st.dictionaries(
    st.tuples(
        st.sampled_from(
            ["gen_ai.prompt", "gen_ai.completion", "llm.input_messages", "llm.output_messages", "llm.tools"]
        ),
        st.lists(st.sampled_from(STEPS), max_size=5),
    ).map(lambda named: ".".join([named[0], *named[1]])),
    st.text(max_size=5) | st.integers(0, 9) | st.booleans(),
    max_size=8,
)


def posted(path: str, raw: bytes, sent_as: str, encoding: str = "") -> tuple[int, str, bytes]:
    async def post() -> Any:
        async with Bench().client() as client:
            return await client.post(path, content=raw, headers={"content-type": sent_as, "content-encoding": encoding})

    response = asyncio.run(post())
    return response.status_code, response.headers["content-type"], response.content


def is_answered(path: str, raw: bytes, sent_as: str, encoding: str = "") -> int:
    """The status, once the answer is of the protocol: an empty or partial success, or a Status."""
    status, answered_as, content = posted(path, raw, sent_as, encoding)
    assert answered_as == sent_as
    assert status in {200, 400}, content
    if sent_as == JSON:
        value = orjson.loads(content)
        assert value.keys() <= ({"partialSuccess"} if status == 200 else {"code", "message"})
    elif status != 200:
        assert MessageToDict(Status.FromString(content))["message"].startswith("The body is")
    return status


@given(
    st.sampled_from(PATHS), st.binary(max_size=200), st.sampled_from([PROTOBUF, JSON]), st.sampled_from(["", "gzip"])
)
@settings(deadline=None, max_examples=40)
def test_any_bytes_are_answered(path: str, raw: bytes, sent_as: str, encoding: str) -> None:
    is_answered(path, raw, sent_as, encoding)


@given(st.sampled_from(PATHS), OTLP_LIKE)
@example("/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]})
@settings(deadline=None, max_examples=40)
def test_any_json_is_answered(path: str, value: Any) -> None:
    is_answered(path, orjson.dumps(value), JSON)


@given(st.sampled_from(PAYLOADS), st.data())
@settings(deadline=None, max_examples=40)
def test_a_damaged_batch_is_answered(name: str, data: st.DataObject) -> None:
    raw = bytearray(body(name))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    is_answered("/v1/traces", bytes(raw[: data.draw(st.integers(0, len(raw)))]), content_type(name))


@given(MESSAGES, MESSAGES, FLAT)
@settings(deadline=None, max_examples=200)
def test_a_span_with_any_messages_is_a_turn_that_can_be_recorded_or_is_refused(
    read: Any, written: Any, flat: dict[str, Any]
) -> None:
    newest = {
        "gen_ai.input.messages": orjson.dumps(read).decode(),
        "gen_ai.output.messages": orjson.dumps(written).decode(),
    }
    vercels = {
        "ai.prompt.messages": orjson.dumps(read).decode(),
        "ai.response.toolCalls": orjson.dumps(written).decode(),
    }
    request = batch(
        span({"gen_ai.operation.name": "chat"} | newest, number=1),
        span({"openinference.span.kind": "LLM"} | flat, number=2),
        span({"llm.request.type": "chat"} | flat, number=3),
        span({"ai.operationId": "ai.streamText.doStream", "ai.response.text": "x"} | vercels, number=4),
    )
    index = ConversationIndex(max_bytes=10**9, max_age_ms=10**9, max_chain_age_ms=10**9, now_ms=lambda: 1)
    for one in read_spans(spans_of_traces(request), "t", ["assistant"]):
        if isinstance(one.told, ObservedTurn):
            for event in events_of_observed(one.told, index):
                record = encode(TOPIC_OF[type(event)], event, "test")
                assert decode(record.headers, record.value) == event
        else:
            assert one.told == "foreign" or isinstance(one.told, SpanRefusedError)
            assert getattr(one.told, "reason", "") != "defect"
