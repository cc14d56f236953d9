"""`encode` and `decode`: an event as a Kafka record, by the CloudEvents 1.0 Kafka binding in binary mode, and back.

Owns the record's form: attributes in `ce_*` headers, every field but `id` and `time_ms` as the JSON value (a batch: as
Arrow, streams/arrow.py), the topic's key. Both directions check the same laws (schemas/validate.py), so whatever is
written can be read. Unknown extra fields are ignored, so that a reader is never older than what it can read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import orjson
import pyarrow as pa

from schemas.errors import MalformedEventError, UnknownEventError
from schemas.events import BatchSealed, Event, SampleBuilt
from schemas.upcast import READABLE, upcast
from schemas.validate import validate
from streams.arrow import read_batch, write_batch
from streams.topics import BATCHES, MAX_RECORD_BYTES, Topic

Headers = list[tuple[str, bytes]]
RawHeaders = Sequence[tuple[str, bytes | None]] | None  # as clients deliver them

JSON_CONTENT_TYPE = b"application/json"
ARROW_CONTENT_TYPE = b"application/vnd.apache.arrow.stream"
SPEC_VERSION = b"1.0"
HEADER_ROOM_BYTES = 4096  # for headers, stamp and framing: limits count the whole record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ENVELOPE = frozenset({"id", "time_ms"})  # these travel as ce_id and ce_time
_WITHOUT_FLOATS = frozenset({str, int, bool, type(None)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One record, ready for any Kafka client."""

    key: bytes
    value: bytes
    headers: Headers


def encode(topic: Topic, event: Event, producer: str) -> Encoded:
    """The record of an event.

    Args:    producer: who writes it, e.g. "gateway-0"; becomes `ce_source`.
    Raises:  MalformedEventError: a type that is not this topic's, NaN or infinity, text or numbers that JSON cannot
             hold, or a record over the size limit; TokenMismatchError: lengths that differ.
    """
    if type(event) not in topic.types or isinstance(event, BatchSealed):
        message = f"{type(event).__name__} cannot be encoded for topic {topic.name!r}; see streams/topics.py."
        raise MalformedEventError(message)
    _check(event)
    value = _dumps(event, {name: getattr(event, name) for name in _field_names(event) if name not in _ENVELOPE})
    return _record(topic, event, value, producer, JSON_CONTENT_TYPE)


def encode_batch(event: BatchSealed, samples: Sequence[SampleBuilt], producer: str) -> Encoded:
    """The record of a batch: its samples as Arrow, the event in the schema's metadata.

    Args:    samples: those that `event.sample_ids` names, in that order.
    Raises:  as `encode`; MalformedEventError also where samples and event differ.
    """
    _check(event)
    for sample in samples:
        _check(sample)
    value = write_batch(event, samples, metadata=_dumps(event, event))
    return _record(BATCHES, event, value, producer, ARROW_CONTENT_TYPE)


def decode(headers: RawHeaders, value: bytes | None) -> Event:
    """The event of a record; an older version comes back as today's.

    Raises:  MalformedEventError: headers or value that are not what the event's type says, naming type and field;
             TokenMismatchError: lengths that differ; UnknownEventError: a type or version without a decoder.
    """
    if not all(is_utf8(name) for name, _ in headers or ()):
        raise MalformedEventError("A header's name is no UTF-8; produce CloudEvents 1.0 in binary mode.")
    attributes = {name: raw for name, raw in headers or () if raw is not None}
    event_type = _text(attributes, "ce_type")
    if attributes.get("ce_specversion") != SPEC_VERSION:
        message = f"{event_type} has no header ce_specversion 1.0; produce CloudEvents 1.0 in binary mode."
        raise MalformedEventError(message)
    if value is None:
        message = f"{event_type} has no value; deleted records are not events."
        raise MalformedEventError(message)
    if event_type not in READABLE:
        message = f"Event type {event_type!r} is unknown; this release knows versions up to those in schemas/json."
        raise UnknownEventError(message)
    event_id, time_ms = _text(attributes, "ce_id"), read_time(event_type, _text(attributes, "ce_time"))
    if attributes.get("content-type") == ARROW_CONTENT_TYPE:
        event: Event = decode_batch(value)[0]
        if event.id != event_id or event_type != event.type:
            message = f"{event_type} {event_id} holds another batch, {event.id}; the record was changed."
            raise MalformedEventError(message)
        return event
    loaded = _loads(event_type, value)
    loaded["id"], loaded["time_ms"] = event_id, time_ms
    return read_event(event_type, loaded)


def is_utf8(name: str) -> bool:
    """Whether a header's name is text; bytes that are none are lone surrogates by now."""
    if name.isascii():  # all of ours, and this is asked of each header of each record
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def decode_batch(value: bytes) -> tuple[BatchSealed, pa.Table]:
    """A batch and its samples, whose columns are views into `value`: nothing is copied.

    Raises:  MalformedEventError, TokenMismatchError: as `decode`.
    """
    metadata, table = read_batch(value)
    event = read_event(BatchSealed.type, _loads(BatchSealed.type, metadata))
    if not isinstance(event, BatchSealed) or table.column("sample_id").to_pylist() != list(event.sample_ids):
        message = f"{BatchSealed.type} {event.id} does not hold the samples that it names."
        raise MalformedEventError(message)
    return event, table


def read_event(event_type: str, value: dict[str, Any]) -> Event:
    """The event that a value with its id and time holds; an older version comes back as today's.

    Args:    event_type: one of `READABLE`.
    Raises:  MalformedEventError, TokenMismatchError: as `decode`.
    """
    try:
        written: Event = msgspec.convert(value, READABLE[event_type], strict=True)
    except msgspec.ValidationError as error:
        message = f"{event_type} {value.get('id')} does not fit its schema: {error}."
        raise MalformedEventError(message) from error
    event = upcast(written)
    validate(event)
    return event


def _record(topic: Topic, event: Event, value: bytes, producer: str, content_type: bytes) -> Encoded:
    if len(value) > MAX_RECORD_BYTES - HEADER_ROOM_BYTES:
        message = f"{type(event).__name__} {event.id} has {len(value)} bytes; the limit is {MAX_RECORD_BYTES} a record."
        raise MalformedEventError(message)
    headers = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", producer.encode()),
        ("ce_time", _rfc3339(event).encode()),
        *([("ce_subject", event.subject.encode())] if event.subject else []),
        ("content-type", content_type),
    ]
    return Encoded(key=topic.key(event).encode(), value=value, headers=headers)


def _check(event: Event) -> None:
    validate(event)
    for name in _field_names(event):
        if not _is_finite(getattr(event, name)):
            message = f"{type(event).__name__} {event.id} holds NaN or infinity in {name}; JSON has no such number."
            raise MalformedEventError(message)


def _is_finite(value: object) -> bool:
    """Whether no float inside is NaN or infinite: orjson would write null in its place, without a word."""
    if type(value) in _WITHOUT_FLOATS:  # most are; matching takes longer
        return True
    match value:
        case float():
            return math.isfinite(value)
        case tuple() | list():
            return _all_finite(value)
        case dict():
            return _all_finite(tuple(value.values()))
        case _ if hasattr(value, "__dataclass_fields__"):
            return _all_finite([getattr(value, name) for name in _field_names(value)])
        case _:
            return True


def _all_finite(values: Sequence[object]) -> bool:
    kinds = set(map(type, values))  # thousands of token ids are passed over without looking at each
    return kinds <= _WITHOUT_FLOATS or all(map(_is_finite, values))


def _field_names(value: Any) -> tuple[str, ...]:
    kind: Any = type(value)  # of which mypy would say that it has no hash
    return _names_in(kind)


@cache
def _names_in(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _dumps(event: Event, value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        message = f"{type(event).__name__} {event.id} cannot be written as JSON: {error}."
        raise MalformedEventError(message) from error


def _loads(event_type: str, value: bytes) -> dict[str, Any]:
    try:
        loaded = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        message = f"{event_type} has a value that is not JSON: {error}."
        raise MalformedEventError(message) from error
    if not isinstance(loaded, dict):
        message = f"{event_type} has a value that is not a JSON object."
        raise MalformedEventError(message)
    return loaded


def _text(attributes: dict[str, bytes], name: str) -> str:
    try:
        text = attributes[name].decode()
    except (KeyError, UnicodeDecodeError) as error:
        message = f"The record has no readable header {name}; produce CloudEvents 1.0 in binary mode."
        raise MalformedEventError(message) from error
    if not text:
        message = f"The record's header {name} is empty."
        raise MalformedEventError(message)
    return text


def _rfc3339(event: Event) -> str:
    try:
        moment = _moment(event.time_ms)
    except OverflowError as error:
        message = f"{type(event).__name__} {event.id} has the impossible time_ms {event.time_ms}."
        raise MalformedEventError(message) from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(time_ms: int) -> datetime:
    """Raises OverflowError where no calendar of ours goes on."""
    return _EPOCH + timedelta(milliseconds=time_ms)


def read_time(event_type: str, text: str) -> int:
    """A time as CloudEvents write it, in ms since the epoch.

    Raises:  MalformedEventError: it is none, has no zone, or in UTC lies in no year of four digits.
    """
    try:
        time_ms = (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
        _moment(time_ms)  # or it could be read, but no event written that follows from it
    except (ValueError, TypeError, OverflowError) as error:  # TypeError: a time without zone
        message = (
            f"{event_type} has the time {text!r} (ce_time); write RFC 3339 with a zone, e.g. 2026-01-31T12:00:00Z."
        )
        raise MalformedEventError(message) from error
    return time_ms
