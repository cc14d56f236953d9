"""The record of an event follows CloudEvents 1.0, and whatever does not is a rejection that names type and field."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from example_events import ACTION, BATCH, EXAMPLES, SAMPLE

from schemas.errors import MalformedEventError, RejectedError, TokenMismatchError
from schemas.events import Event, FeedbackGiven
from streams.codec import Encoded, decode, decode_batch, encode, encode_batch
from streams.topics import ACTIONS, BATCHES, CHECKPOINTS, FEEDBACK, MAX_RECORD_BYTES, SAMPLES, TOPICS

THUMB = FeedbackGiven(id="f-1", time_ms=1_771_000_000_123, policy="p", action_id="a-1", thumb=1)
PLAIN = [event for event in EXAMPLES if event is not BATCH]


def encoded(event: Event) -> Encoded:
    if event is BATCH:
        return encode_batch(BATCH, [SAMPLE], "test")
    return encode(next(topic for topic in TOPICS if type(event) in topic.types), event, "test")


def changed(event: Event, **fields: Any) -> Encoded:
    """The record of an event, its value changed behind the codec's back."""
    record = encoded(event)
    return replace(record, value=orjson.dumps({**orjson.loads(record.value), **fields}))


def with_header(record: Encoded, name: str, raw: bytes | None) -> list[tuple[str, bytes | None]]:
    return [(known, raw if known == name else value) for known, value in record.headers]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.type)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    record = encoded(event)
    assert decode(record.headers, record.value) == event


def test_the_headers_are_those_of_cloudevents_in_kafka_binary_mode() -> None:
    record = encode(FEEDBACK, replace(THUMB, subject="ada"), "gateway-0")
    assert record.headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"f-1"),
        ("ce_type", b"nextstate.feedback.given.v2"),
        ("ce_source", b"gateway-0"),
        ("ce_time", b"2026-02-13T16:26:40.123Z"),
        ("ce_subject", b"ada"),
        ("content-type", b"application/json"),
    ]


def test_an_event_about_nobody_has_no_subject_header() -> None:
    assert "ce_subject" not in dict(encode(FEEDBACK, THUMB, "test").headers)


@pytest.mark.parametrize("event", PLAIN, ids=lambda event: event.type)
def test_id_and_time_travel_in_headers_only(event: Event) -> None:
    assert {"id", "time_ms"}.isdisjoint(orjson.loads(encoded(event).value))


def test_the_key_is_the_one_of_the_topic() -> None:
    assert encode(ACTIONS, ACTION, "test").key == b"c-1"
    assert encode(SAMPLES, SAMPLE, "test").key == b"assistant"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_refused_before_it_becomes_null(number: float) -> None:
    with pytest.raises(MalformedEventError, match="NaN or infinity in rating"):
        encode(FEEDBACK, replace(THUMB, rating=number), "test")


def test_nan_is_found_wherever_it_hides() -> None:
    nan = float("nan")
    checkpoint = next(event for event in EXAMPLES if type(event) in CHECKPOINTS.types)
    hidden = [
        (ACTIONS, replace(ACTION, response_logprobs=(-0.5, nan, 0.0))),
        (ACTIONS, replace(ACTION, sampling=replace(ACTION.sampling, temperature=nan))),
        (CHECKPOINTS, replace(checkpoint, metrics={"loss": nan})),  # type: ignore[call-arg]
    ]
    for topic, event in hidden:
        with pytest.raises(MalformedEventError, match="NaN"):
            encode(topic, event, "test")
    with pytest.raises(MalformedEventError, match="NaN"):
        encode_batch(BATCH, [replace(SAMPLE, reward=nan)], "test")


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(MalformedEventError, match="cannot be written as JSON"):
        encode(FEEDBACK, replace(THUMB, comment="\ud800"), "test")


def test_an_event_of_another_topic_is_refused() -> None:
    with pytest.raises(MalformedEventError, match="FeedbackGiven cannot be encoded for topic 'actions'"):
        encode(ACTIONS, THUMB, "test")


def test_a_batch_is_never_written_as_json() -> None:
    with pytest.raises(MalformedEventError):
        encode(BATCHES, BATCH, "test")


def test_a_record_over_the_limit_is_refused_before_kafka_refuses_it() -> None:
    with pytest.raises(MalformedEventError, match=str(MAX_RECORD_BYTES)):
        encode(FEEDBACK, replace(THUMB, comment="x" * MAX_RECORD_BYTES), "test")


@pytest.mark.parametrize("time_ms", [10**15, -(10**15)])
def test_a_time_outside_the_calendar_is_refused(time_ms: int) -> None:
    with pytest.raises(MalformedEventError, match="time_ms"):
        encode(FEEDBACK, replace(THUMB, time_ms=time_ms), "test")


def test_lengths_that_differ_are_refused_on_both_sides() -> None:
    with pytest.raises(TokenMismatchError):
        encode(ACTIONS, replace(ACTION, response_logprobs=()), "test")
    record = changed(ACTION, response_logprobs=[-1.0])
    with pytest.raises(TokenMismatchError):
        decode(record.headers, record.value)


@pytest.mark.parametrize("event", PLAIN, ids=lambda event: event.type)
def test_fields_that_an_older_or_newer_producer_wrote_are_ignored(event: Event) -> None:
    record = changed(event, mood="sunny", mood_ids=[1, -2])
    assert decode(record.headers, record.value) == event


def test_a_field_that_an_older_producer_did_not_know_has_its_default() -> None:
    record = encoded(THUMB)
    assert decode(record.headers, b'{"policy":"p","action_id":"a-1","thumb":1}') == THUMB


def test_an_id_inside_the_value_does_not_override_the_header() -> None:
    record = changed(THUMB, id="forged", time_ms=0)
    assert decode(record.headers, record.value) == THUMB


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b'{"policy":"p"}', "nextstate.feedback.given.v2 f-1 .*missing required field `action_id`"),
        (b'{"policy":"p","action_id":7}', r"Expected `str`, got `int` - at `\$.action_id`"),
        (b'{"policy":"p","action_id":"a","rating":"1"}', r"\$.rating"),  # strict: no numbers out of text
        (b'{"policy":"p","action_id":"a","source":"moon"}', r"\$.source"),
        (b"[]", "not a JSON object"),
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (None, "no value"),
    ],
)
def test_a_value_that_does_not_fit_is_a_rejection_naming_type_and_field(value: bytes | None, named: str) -> None:
    with pytest.raises(MalformedEventError, match=named):
        decode(encoded(THUMB).headers, value)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_specversion", None),
        ("ce_type", None),
        ("ce_type", b"\xff"),
        ("ce_id", b""),
        ("ce_time", b"yesterday"),
        ("ce_time", b"2026-02-13T16:26:40"),  # whose noon?
        ("ce_time", b"9999-12-31T23:59:59-23:59"),  # in UTC the year 10000
        ("ce_time", b"0001-01-01T00:00:00+23:59"),
    ],
)
def test_a_broken_header_is_a_rejection_that_names_it(name: str, raw: bytes | None) -> None:
    record = encoded(THUMB)
    with pytest.raises(MalformedEventError, match=name):
        decode(with_header(record, name, raw), record.value)


def test_a_record_without_headers_is_a_rejection() -> None:
    with pytest.raises(MalformedEventError, match="ce_type"):
        decode(None, b"{}")


@pytest.mark.parametrize(
    "text", [b"2026-02-13T16:26:40.123Z", b"2026-02-13T17:26:40.123+01:00", b"2026-02-13T16:26:40.1239Z"]
)
def test_any_rfc_3339_time_is_read_to_the_millisecond(text: bytes) -> None:
    record = encoded(THUMB)
    assert decode(with_header(record, "ce_time", text), record.value).time_ms == THUMB.time_ms


def test_other_content_types_of_json_are_json() -> None:
    record = encoded(THUMB)
    headers = with_header(record, "content-type", b"application/json; charset=utf-8")
    assert decode(headers, record.value) == THUMB


def test_a_batch_under_another_id_is_a_rejection() -> None:
    record = encoded(BATCH)
    with pytest.raises(RejectedError, match="b-1"):
        decode(with_header(record, "ce_id", b"b-2"), record.value)


def test_a_batch_holds_its_event_and_a_row_per_sample() -> None:
    event, table = decode_batch(encoded(BATCH).value)
    assert event == BATCH
    row = table.to_pylist()[0]
    assert row["sample_id"] == "s-2"
    assert row["prompt_ids"] == [9, 8, 5, 6, 7]
    assert row["teacher_prompt_ids"] == [[9, 8, 5, 6, 7, 4]]
    assert row["token_versions"][1] == {"version": 4, "start": 2, "end": 3}
    assert row["reward"] is None
