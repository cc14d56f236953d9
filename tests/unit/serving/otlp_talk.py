"""The recorded talk of tests/data/otlp, in the words that every spelling must tell."""

from pathlib import Path
from typing import Any

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from schemas.events import Message, ToolCall

DATA = Path(__file__).parents[2] / "data" / "otlp"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


def said(role: Any, content: str, call_id: str | None = None) -> Message:
    return Message(role=role, content=content, tool_call_id=call_id)


CALLS = Message(
    role="assistant",
    tool_calls=tuple(
        ToolCall(name="weather", arguments=f'{{"city":"{city}"}}', id=f"call_{city}") for city in ("Rome", "Oslo")
    ),
)
TALK = (
    said("system", "You are a weather agent."),
    said("user", "What is the weather in Rome and Oslo?"),
    CALLS,
    said("tool", "21 C", "call_Rome"),
    said("tool", "-3 C", "call_Oslo"),
    said("assistant", "Rome has 21 degrees, Oslo has -3."),
    said("user", "No, in Fahrenheit please."),
    said("assistant", "Rome has 70 degrees Fahrenheit, Oslo has 27."),
    said("user", "Thanks!"),
    said("assistant", "You are welcome."),
    said("user", "How do I bake bread?"),
    said("assistant", "Mix flour, water,"),
)
REPLIES = [place for place, message in enumerate(TALK) if message.role == "assistant"]


def body(name: str) -> bytes:
    return (DATA / name).read_bytes()


def content_type(name: str) -> str:
    return JSON if name.endswith(".json") else PROTOBUF


def value(plain: str | float | bool | list[Any]) -> AnyValue:
    match plain:
        case bool():
            return AnyValue(bool_value=plain)
        case str():
            return AnyValue(string_value=plain)
        case int():
            return AnyValue(int_value=plain)
        case float():
            return AnyValue(double_value=plain)
    wrapped = AnyValue()
    wrapped.array_value.values.extend(map(value, plain))
    return wrapped


def span(attributes: dict[str, Any], *, number: int = 1, parent: int = 0, end_ns: int = 2_000_000, **own: Any) -> Span:
    """A span of one trace, known by a number."""
    return Span(
        trace_id=b"t" * 16,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        end_time_unix_nano=end_ns,
        attributes=[KeyValue(key=key, value=value(plain)) for key, plain in attributes.items()],
        **own,
    )


def batch(*spans: Span, **resource: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(KeyValue(key=key, value=value(plain)) for key, plain in resource.items())
    group.scope_spans.add().spans.extend(spans)
    return request


def chat(question: str, answer: str, **more: Any) -> dict[str, Any]:
    """Attributes of a model call by the newest conventions; any other one by its name with `__` for a dot."""
    told = [
        {"role": role, "parts": [{"type": "text", "content": text}]}
        for role, text in (("user", question), ("assistant", answer))
    ]
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt",
        "gen_ai.input.messages": orjson.dumps(told[:1]).decode(),
        "gen_ai.output.messages": orjson.dumps(told[1:]).decode(),
        **{name.replace("__", "."): plain for name, plain in more.items()},
    }
