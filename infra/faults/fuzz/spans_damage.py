"""`spans_damaged`: an OTLP payload in protobuf with something wrong in it that protobuf allows."""

from random import Random
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from infra.faults.fuzz.json_damage import damaged
from infra.faults.fuzz.odd import TEXTS

_TIMES_NS = (0, 1, 2**63, 2**64 - 1, 10**18)
_IDS = (b"", b"\0" * 16, b"\0" * 8, b"x", b"y" * 40)


def spans_damaged(body: bytes, rng: Random) -> bytes:
    """Spans or log records, one to three of them damaged; raises ValueError where the bytes hold none."""
    try:
        for kind in (ExportTraceServiceRequest, ExportLogsServiceRequest):
            request: Any = kind.FromString(body)
            told = [one for one in _told(request) if one.attributes]
            if told:
                for _ in range(rng.choice((1, 1, 2, 3))):
                    _damage(rng.choice(told), rng)
                return bytes(request.SerializeToString())
    except DecodeError as error:
        raise ValueError(str(error)) from error
    raise ValueError("it tells nothing")


def _told(request: Any) -> list[Any]:
    if isinstance(request, ExportTraceServiceRequest):
        return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
    return [record for group in request.resource_logs for scope in group.scope_logs for record in scope.log_records]


def _damage(one: Any, rng: Random) -> None:
    place = rng.randrange(len(one.attributes)) if one.attributes else None
    match rng.randrange(8):
        case 0 if place is not None:
            del one.attributes[place]
        case 1:
            one.trace_id = rng.choice(_IDS)
        case 2:
            one.span_id = rng.choice(_IDS)
        case 3:
            for name in ("start_time_unix_nano", "end_time_unix_nano", "time_unix_nano"):
                if name in one.DESCRIPTOR.fields_by_name:
                    setattr(one, name, rng.choice(_TIMES_NS))
        case 4 if place is not None:
            one.attributes.append(KeyValue(key=one.attributes[place].key, value=_other(rng)))
        case 5 if place is not None:
            one.attributes[place].value.CopyFrom(_other(rng))
        case _ if place is not None:
            _damage_text(one.attributes[place].value, rng)


def _damage_text(value: AnyValue, rng: Random) -> None:
    """A document in a text is damaged as one; most of the messages that spans tell of are."""
    try:
        value.string_value = damaged(value.string_value.encode(), rng).decode("utf-8", "replace")
    except (ValueError, RecursionError):
        value.CopyFrom(_other(rng))


def _other(rng: Random) -> AnyValue:
    texts = [text for text in TEXTS if text.isascii()]
    plain = (
        *(AnyValue(string_value=rng.choice(texts)), AnyValue(int_value=rng.choice((0, -(2**63), 2**63 - 1)))),
        *(AnyValue(double_value=rng.choice((float("nan"), float("inf"), 1e308))), AnyValue(bool_value=True)),
        *(AnyValue(bytes_value=b"\xff"), AnyValue()),
    )
    wrapped = AnyValue()
    wrapped.array_value.values.extend(plain)
    nested = AnyValue()
    nested.kvlist_value.values.append(KeyValue(key=rng.choice(texts), value=rng.choice(plain)))
    for _ in range(rng.choice((0, 50))):
        outer = AnyValue()
        outer.array_value.values.append(nested)
        nested = outer
    return rng.choice((*plain, wrapped, nested))
