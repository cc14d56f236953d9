"""OTLP batches as an instrumented agent's exporter sends them: a span for each model call, with all its words.

Consumes talks (content.py), produces the bytes of `ExportTraceServiceRequest`. Spans are those of OpenTelemetry's GenAI
conventions, as its instrumentation of OpenAI's client writes them; each talk is a trace.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from infra.bench.recorder.content import TURNS, Said, Turn, turns
from schemas.identity import digest_text

_MODEL = "gpt-x"
_CALL_NS, _PAUSE_NS = 800_000_000, 5_000_000_000
_BEGAN_NS = 1_767_000_000 * 10**9


@dataclass(frozen=True, slots=True)
class Batch:
    """One request's body."""

    body: bytes
    num_spans: int


def batches(prompt: str, num_batches: int, num_spans: int, first_talk: int) -> Iterator[Batch]:
    """Bodies, in the order in which an exporter sends them.

    Args:    prompt: of `content.PROMPTS`; num_spans: of each, whole talks; first_talk: none of these was sent before.
    """
    for number in range(num_batches):
        first = first_talk + number * num_spans // TURNS
        yield Batch(_body(turns(prompt, num_spans, first), first), num_spans)


def num_talks(num_batches: int, num_spans: int) -> int:
    """How many talks such batches hold."""
    return num_batches * num_spans // TURNS


def _body(told: Sequence[Turn], first_talk: int) -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(
        _pairs({"service.name": "agent", "telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry"})
    )
    scope = group.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.openai_v2"
    for number, (messages, reply) in enumerate(told, start=TURNS * first_talk):
        scope.spans.append(_span(number, messages, reply))
    return request.SerializeToString()


def _span(number: int, messages: Sequence[Said], reply: str) -> Span:
    began_ns = _BEGAN_NS + number * _PAUSE_NS
    return Span(
        trace_id=bytes.fromhex(digest_text("trace", str(number // TURNS))),
        span_id=bytes.fromhex(digest_text("span", str(number))[:16]),
        name=f"chat {_MODEL}",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=began_ns,
        end_time_unix_nano=began_ns + _CALL_NS,
        attributes=_pairs(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": _MODEL,
                "gen_ai.response.model": _MODEL,
                "gen_ai.response.id": f"chatcmpl-{number}",
                "gen_ai.request.temperature": 0.7,
                "gen_ai.usage.input_tokens": 600,
                "gen_ai.usage.output_tokens": 100,
                "server.address": "api.example.com",
                "gen_ai.input.messages": _told(messages),
                "gen_ai.output.messages": _told([Said(role="assistant", content=reply)]),
            }
        ),
    )


def _pairs(attributes: dict[str, str | int | float]) -> Iterator[KeyValue]:
    for key, plain in attributes.items():
        match plain:
            case str():
                value = AnyValue(string_value=plain)
            case int():
                value = AnyValue(int_value=plain)
            case float():
                value = AnyValue(double_value=plain)
        yield KeyValue(key=key, value=value)


def _told(messages: Sequence[Said]) -> str:
    return json.dumps(
        [{"role": said["role"], "parts": [{"type": "text", "content": said["content"]}]} for said in messages]
    )
