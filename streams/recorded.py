"""`Recorded`: one record as it lies in the log, with the event that it holds or the reason why it holds none."""

from dataclasses import dataclass
from operator import methodcaller
from typing import Any

from schemas.errors import RejectedError
from schemas.events import Event
from streams.codec import Headers, RawHeaders, decode, is_utf8
from streams.config import KafkaConfig
from streams.placement import check_placement
from streams.topics import BY_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A record and its place. Exactly one of `event` and `error` is set."""

    topic: str  # without prefix
    partition: int
    offset: int
    timestamp_ms: int  # when its producer handed it to Kafka; the event's own time is event.time_ms
    headers: Headers
    key: bytes | None
    value: bytes
    event: Event | None
    error: RejectedError | None


# confluent-kafka returns a list with holes and an error set. That is a SystemError where the caller looks, which C code
# does; a call of `message.headers()` that Python has specialised does not, and the holes end the process.
_ask_for_headers = methodcaller("headers")
_UNREADABLE = "\udcff"  # the name of a header whose name is no UTF-8; no text can be it
RESTORED = "ns_restored"  # header of a record that came back from an archive: which one, and where it lay there


def header_text(headers: Headers, name: str) -> str:
    """The first header of a name, as text; "" where there is none."""
    for header, raw in headers:
        if header == name:
            return raw.decode(errors="replace")
    return ""


def headers_of(message: Any) -> RawHeaders:
    """The headers of a message of librdkafka, which gives none where the name of one is no UTF-8."""
    try:
        headers: RawHeaders = _ask_for_headers(message)
    except SystemError:
        return [(_UNREADABLE, b"")]
    return headers


def is_restored_from(archive_id: str, headers: Headers) -> bool:
    """Whether a record came back from this archive, which has it already."""
    return header_text(headers, RESTORED).startswith(f"{archive_id}/")


def recorded(config: KafkaConfig, message: Any) -> Recorded:
    """What a message of librdkafka holds; a value or place that cannot be used becomes `error`."""
    return record_of(
        config,
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp_ms=message.timestamp()[1],
        headers=headers_of(message),
        key=message.key(),
        value=message.value(),
    )


def record_of(
    config: KafkaConfig,
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    headers: RawHeaders,
    key: bytes | None,
    value: bytes | None,
) -> Recorded:
    """What a message of any client holds. Args: topic: the broker's name of it; the others as Kafka delivered them."""
    declared = BY_NAME[topic.removeprefix(config.topic_prefix)]
    event: Event | None = None
    refusal: RejectedError | None = None
    try:
        event = decode(headers, value)
        check_placement(declared, partition, key, event)
    except RejectedError as error:
        event, refusal = None, error
    return Recorded(
        topic=declared.name,
        partition=partition,
        offset=offset,
        timestamp_ms=timestamp_ms,
        headers=[(name, raw) for name, raw in headers or () if raw is not None and is_utf8(name)],
        key=key,
        value=value or b"",
        event=event,
        error=refusal,
    )
