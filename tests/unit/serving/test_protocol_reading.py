"""Whatever JSON comes in, in whatever protocol: a call, or a sentence for the client."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RejectedError
from serving.call import Call
from serving.config import GatewayConfig
from serving.protocols import WIRES, wire_of
from serving.protocols.wire import Wire

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KINDS = ["text", "message", "function_call", "function_call_output", "item_reference", "reasoning", "input_text"]
KINDS += ["image", "input_image", "image_url", "tool_use", "tool_result", "thinking", "function", "custom", "tool"]
KEYS = ["role", "content", "text", "source", "image_url", "name", "arguments", "input", "id", "call_id", "tool_use_id"]
KEYS += ["output", "tool_calls", "function", "input_schema", "parameters", "type", "data", "url", "is_error", "format"]
WORDS = st.sampled_from([*KINDS, "user", "assistant", "system", "auto", "any", "base64", "data:image/png;base64,A"])


def things(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects of the names that protocols use, filled with anything."""
    return st.dictionaries(st.sampled_from(KEYS), inner, max_size=5) | st.lists(inner, max_size=3)


LIKELY = st.recursive(SCALARS | WORDS, things, max_leaves=12)
FIELDS = {
    "/v1/chat/completions": "messages n stop tools tool_choice response_format logit_bias stream_options seed user",
    "/v1/responses": "input instructions tools tool_choice text metadata include previous_response_id conversation",
    "/v1/messages": "messages system tools tool_choice metadata stop_sequences output_config max_tokens temperature",
}
GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10},
}


def outcome(wire: Wire, fields: dict[str, Any]) -> Call | RejectedError:
    body = {"model": "assistant", **GOOD[wire.path], **fields}
    try:
        return wire.read(orjson.dumps(body), GatewayConfig(), lambda _: None)
    except RejectedError as error:
        return error


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.path)
@given(data=st.data())
def test_any_json_is_either_a_call_or_a_sentence(wire: Wire, data: st.DataObject) -> None:
    names = st.sampled_from(FIELDS[wire.path].split())
    match outcome(wire, data.draw(st.dictionaries(names, JSON | LIKELY, max_size=3))):
        case RejectedError() as error:
            assert str(error).endswith(".")
        case Call() as call:
            assert len(call.places) == len(call.messages) > 0


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.path)
def test_null_means_not_set_in_every_field_that_is_not_required(wire: Wire) -> None:
    names = [name for name in FIELDS[wire.path].split() if name not in GOOD[wire.path]]
    alone, with_nulls = outcome(wire, {}), outcome(wire, dict.fromkeys([*names, "stream", "top_p", "temperature"]))
    assert isinstance(alone, Call)
    assert with_nulls == alone


def test_what_lies_below_an_endpoint_has_its_protocol_and_what_only_begins_alike_has_not() -> None:
    assert wire_of("/v1/messages/count_tokens").path == "/v1/messages"
    assert wire_of("/v1/messagesx").path == wire_of("/v1/models").path == "/v1/chat/completions"
