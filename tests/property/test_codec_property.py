"""Whatever event can be written is read back as it was, and no bytes at all bring the reader down."""

from contextlib import suppress
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

from example_events import BATCH, EXAMPLES, SAMPLE
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RejectedError
from schemas.events import ActionTaken, BatchSealed, Event, KeptTail, Message, SampleBuilt, VersionSpan
from schemas.validate import ID_FIELDS
from streams.codec import decode, decode_batch, encode, encode_batch
from streams.topics import TOPICS

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)  # as a batch keeps them
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAME = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)
TIME_MS = st.integers(-62_135_596_800_000, 253_402_300_799_999)  # years 1 to 9999
TOKEN_IDS = st.lists(st.integers(0, 2**31 - 1), max_size=8).map(tuple)
OF_TYPE = {int: INT64, float: FLOATS, str: TEXT}

for plain, strategy in OF_TYPE.items():
    st.register_type_strategy(plain, strategy)  # type: ignore[arg-type]  # of all fields that are not given below


@st.composite
def responses(draw: st.DrawFn) -> dict[str, Any]:
    """Response fields that fit each other."""
    ids = draw(TOKEN_IDS)
    cuts = sorted(draw(st.sets(st.integers(1, len(ids) - 1)))) if len(ids) > 1 else []
    bounds = [0, *cuts, len(ids)] if ids else []
    spans = [VersionSpan(version=draw(st.integers(0, 99)), start=a, end=b) for a, b in pairwise(bounds)]
    logprobs = draw(st.lists(FLOATS, min_size=len(ids), max_size=len(ids)))
    return {"response_ids": ids, "response_logprobs": tuple(logprobs), "token_versions": tuple(spans)}


@st.composite
def events(draw: st.DrawFn, kind: type[Event]) -> Event:
    """Any valid event of a type."""
    lawful: dict[str, Any] = {field.name: NAME for field in fields(kind) if field.name in ID_FIELDS}
    lawful |= {"time_ms": TIME_MS}
    if kind is ActionTaken:
        kept = st.integers(0, 2**31)
        tail = st.none() | st.builds(KeptTail, start=kept, end=st.integers(2**31 + 1, 2**63 - 1), num_before=st.just(0))
        lawful |= {"prompt_ids": TOKEN_IDS, "base_action_id": NAME, "kept_messages": kept, "kept_prompt_tokens": kept}
        lawful |= {"messages_tail": tail, "prompt_tail": tail}
        lawful |= {"reply": st.builds(Message, role=st.just("assistant"))}
    if kind is SampleBuilt:
        lawful |= {"prompt_ids": TOKEN_IDS, "hints": st.just(("h",)), "teacher_prompt_ids": st.tuples(TOKEN_IDS)}
    if kind in {ActionTaken, SampleBuilt}:
        lawful |= {name: st.just(value) for name, value in draw(responses()).items()}
    return draw(st.builds(kind, **lawful))


JSON_EVENTS = st.sampled_from([type(event) for event in EXAMPLES if event is not BATCH]).flatmap(events)


@given(JSON_EVENTS)
def test_whatever_is_written_is_read_back(event: Event) -> None:
    topic = next(topic for topic in TOPICS if type(event) in topic.types)
    record = encode(topic, event, "test")
    assert decode(record.headers, record.value) == event


@given(st.lists(events(SampleBuilt), max_size=4), TIME_MS)
def test_a_batch_of_any_samples_is_read_back(samples: list[Any], time_ms: int) -> None:
    narrow = [replace(sample, turn=sample.turn % 2**31, step=None) for sample in samples]
    event = replace(
        BATCH,
        time_ms=time_ms,
        sample_ids=tuple(sample.id for sample in narrow),
        action_ids=tuple(sample.action_id for sample in narrow),
    )
    record = encode_batch(event, narrow, "test")
    assert decode(record.headers, record.value) == event
    for sample, row in zip(narrow, decode_batch(record.value)[1].to_pylist(), strict=True):
        assert row["prompt_ids"] == list(sample.prompt_ids)
        assert row["response_ids"] == list(sample.response_ids)
        assert [span["end"] for span in row["token_versions"]] == [span.end for span in sample.token_versions]
        assert row["response_logprobs"] == list(sample.response_logprobs)


@given(st.sampled_from(EXAMPLES), st.binary(max_size=200))
def test_arbitrary_bytes_are_a_rejection_or_an_event_but_never_a_crash(event: Event, value: bytes) -> None:
    assert_rejected_or_read(event, value)


@given(st.sampled_from(EXAMPLES), st.data())
def test_a_flipped_byte_is_a_rejection_or_an_event_but_never_a_crash(event: Event, data: st.DataObject) -> None:
    value = bytearray(value_of(event))
    position = data.draw(st.integers(0, len(value) - 1))
    value[position] ^= data.draw(st.integers(1, 255))
    assert_rejected_or_read(event, bytes(value))


def value_of(event: Event) -> bytes:
    if isinstance(event, BatchSealed):
        return encode_batch(event, [SAMPLE], "test").value
    return encode(next(topic for topic in TOPICS if type(event) in topic.types), event, "test").value


def assert_rejected_or_read(event: Event, value: bytes) -> None:
    arrow = b"application/vnd.apache.arrow.stream" if isinstance(event, BatchSealed) else b"application/json"
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_time", b"2026-01-31T12:00:00Z"),
        ("content-type", arrow),
    ]
    with suppress(RejectedError):
        assert type(decode(headers, value)) is type(event)
