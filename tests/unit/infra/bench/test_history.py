"""Copies of a recorded log are logs of their own: everything in them is new, and refers to what is in them."""

import asyncio
from collections import Counter
from dataclasses import fields
from itertools import pairwise

import pytest
from audited_world import good_world, records_of

from infra.bench.log.history import Pattern, Places
from schemas.events import BatchSealed, CheckpointPublished, Event
from streams.codec import decode_batch
from streams.recorded import Recorded
from streams.stamp import content_digest, read_stamp

NUM_COPIES = 3
FIRST_MS = 1_600_000_000_000


@pytest.fixture(scope="module")
def pattern() -> Pattern:
    return Pattern.of(records_of(asyncio.run(good_world())))


@pytest.fixture(scope="module")
def copies(pattern: Pattern) -> list[list[Recorded]]:
    places = Places()
    return [[places.take(written) for written in pattern.copy(number, FIRST_MS)] for number in range(NUM_COPIES)]


def events(copy: list[Recorded]) -> list[Event]:
    return [record.event for record in copy if record.event is not None]


def references(event: Event) -> set[str]:
    """What its fields that end in `_id` or `_ids` name; a request is no event."""
    found: set[str] = set()
    for one in fields(event):
        value = getattr(event, one.name)
        if one.name.endswith("_ids") and all(isinstance(item, str) for item in value):
            found |= set(value)
        if one.name.endswith("_id") and one.name not in {"request_id", "group_id", "episode_id", "conversation_id"}:
            found |= {value} if value else set()
    return found


def test_a_copy_has_as_many_records_of_each_topic_and_all_can_be_read(
    pattern: Pattern, copies: list[list[Recorded]]
) -> None:
    for copy in copies:
        assert Counter(record.topic for record in copy) == pattern.mix()
        assert [record.error for record in copy if record.error is not None] == []
        assert len(copy) == len(pattern)


def test_no_id_comes_twice_on_a_topic_and_none_is_named_that_is_not_there(copies: list[list[Recorded]]) -> None:
    recorded = {(record.topic, event.id) for copy in copies for record in copy if (event := record.event)}
    assert len(recorded) == sum(map(len, copies)) - num_repeated(copies)
    for copy in copies:
        ids = {event.id for event in events(copy)}
        assert {name for event in events(copy) for name in references(event)} <= ids


def num_repeated(copies: list[list[Recorded]]) -> int:
    """Records of the log that came twice, which come twice in a copy, too."""
    return sum(
        count - 1
        for copy in copies
        for count in Counter((one.topic, one.event.id) for one in copy if one.event).values()
    )


def test_versions_go_on_from_copy_to_copy(copies: list[list[Recorded]]) -> None:
    versions = [
        event.version
        for copy in copies
        for record in copy
        if record.topic == "checkpoints" and isinstance(event := record.event, CheckpointPublished)
    ]
    assert versions == list(range(1, len(versions) + 1))
    assert len(versions) > NUM_COPIES


def test_times_go_on_and_stamps_are_right(pattern: Pattern, copies: list[list[Recorded]]) -> None:
    for before, after in pairwise(copies):
        assert {one.timestamp_ms - other.timestamp_ms for one, other in zip(after, before, strict=True)} == {
            pattern.span_ms
        }
    for copy in copies:
        for record in copy:
            if stamp := read_stamp(record.headers):
                assert stamp.digest == content_digest(record.headers, record.key or b"", record.value)


def test_batches_hold_the_copys_own_samples(copies: list[list[Recorded]]) -> None:
    batches = [record for record in copies[1] if isinstance(record.event, BatchSealed)]
    assert batches
    for record in batches:
        event, table = decode_batch(record.value)
        assert table["sample_id"].to_pylist() == list(event.sample_ids)
        assert event.sample_ids != next(one.event for one in copies[0] if isinstance(one.event, BatchSealed)).sample_ids
