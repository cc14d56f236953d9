"""`Span`: what OpenTelemetry tells of one operation, as plain values, whichever signal it came by.

Consumes OTLP's protobuf messages. Traces carry spans; logs carry the newest conventions' event of a model call, which
names the span that it belongs to and so is the same operation.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1 import trace_pb2

from schemas.identity import digest_text
from schemas.messages import canonical_json

Attributes = dict[str, object]  # values as JSON has them; bytes as hex digits
DETAILS_EVENT = "gen_ai.client.inference.operation.details"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanEvent:
    """Something that is told within a span."""

    name: str
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One operation. Times in ns since 1970; ids in hex digits, "" where there is none."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    start_ns: int
    end_ns: int
    attributes: Attributes
    resource: Attributes = field(default_factory=dict)  # of the process that tells it
    events: tuple[SpanEvent, ...] = ()
    num_dropped: int = 0  # attributes and events that the process left out, for its limits
    failed: bool = False
    is_log_record: bool = False  # its process tells of this operation by log records


def spans_of_traces(request: ExportTraceServiceRequest) -> list[Span]:
    """The spans of a batch, in the order in which they ended; inner ones before outer ones."""
    return _in_order(
        _span(span, resource)
        for group in request.resource_spans
        for resource in [_plain_attributes(group.resource.attributes)]
        for scope in group.scope_spans
        for span in scope.spans
    )


def spans_of_logs(request: ExportLogsServiceRequest) -> list[Span]:
    """The operations that log records tell of, in the order of their times. Records of anything else hold nothing."""
    return _in_order(
        _span_of_record(record, resource)
        for group in request.resource_logs
        for resource in [_plain_attributes(group.resource.attributes)]
        for scope in group.scope_logs
        for record in scope.log_records
    )


def _in_order(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: (span.end_ns, -span.start_ns))


def _span(span: trace_pb2.Span, resource: Attributes) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano or span.end_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_plain_attributes(span.attributes),
        resource=resource,
        events=tuple(
            SpanEvent(name=event.name, attributes=_plain_attributes(event.attributes)) for event in span.events
        ),
        num_dropped=span.dropped_attributes_count + span.dropped_events_count,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
    )


def _span_of_record(record: LogRecord, resource: Attributes) -> Span:
    attributes = _plain_attributes(record.attributes)
    tells = DETAILS_EVENT in (record.event_name, attributes.get("event.name"))
    time_ns = record.time_unix_nano or record.observed_time_unix_nano
    return Span(
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
        start_ns=time_ns,
        end_ns=time_ns,
        attributes=attributes if tells else {},
        resource=resource,
        num_dropped=record.dropped_attributes_count,
        is_log_record=True,
    )


def _plain_attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> object:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return _plain_attributes(value.kvlist_value.values)
        case "bytes_value":
            return value.bytes_value.hex()
        case kind:
            plain: object = getattr(value, kind)
            return plain


def with_details(span: Span) -> Attributes:
    """The span's attributes and those of its details, which may come in several events."""
    told = dict(span.attributes)
    for event in span.events:
        if event.name == DETAILS_EVENT:
            told |= event.attributes
    return told


def response_id(span: Span) -> str:
    """What the server called its response, "" where it is not told."""
    told = with_details(span).get("gen_ai.response.id")
    return told if isinstance(told, str) else ""


def process_of(tenant: str, span: Span) -> str:
    """A name for the process that tells a span: what it says of itself, digested. Tenants cannot meet in it."""
    return digest_text(tenant, canonical_json(span.resource))


def texts(span: Span, keys: Iterable[str]) -> Iterator[str]:
    """The texts under some keys, as far as there are any: the span's own, then its process's."""
    for attributes in (span.attributes, span.resource):
        for key in keys:
            if isinstance(value := attributes.get(key), str) and value:
                yield value
