"""Every event version ever written stays decodable: one golden record per version is checked in and never changed."""

from pathlib import Path

import orjson
import pytest
from example_events import BATCH, EXAMPLES

from schemas.errors import UnknownEventError
from schemas.events import TYPES, FeedbackGiven
from schemas.upcast import UPCASTERS, Value, upcast
from streams.codec import decode

GOLDEN = Path(__file__).parent / "golden"


def golden_headers(event_type: str, content_type: str) -> list[tuple[str, bytes | None]]:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", event_type.encode()),
        ("ce_source", b"golden"),
        ("content-type", content_type.encode()),
    ]


def test_there_is_a_golden_record_of_every_version() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {*TYPES, *UPCASTERS}


@pytest.mark.parametrize("event", [event for event in EXAMPLES if event is not BATCH], ids=lambda event: event.type)
def test_the_golden_record_of_a_current_version_decodes_to_the_example(event: object) -> None:
    assert hasattr(event, "type")
    record = orjson.loads((GOLDEN / f"{event.type}.json").read_bytes())
    attributes = [(name, text.encode()) for name, text in record["headers"].items()]
    headers = [*golden_headers(event.type, "application/json"), *attributes]
    assert decode(headers, orjson.dumps(record["value"])) == event


def test_the_golden_batch_decodes_to_the_example() -> None:
    value = (GOLDEN / f"{BATCH.type}.arrow").read_bytes()
    headers = golden_headers(BATCH.type, "application/vnd.apache.arrow.stream")
    headers += [("ce_id", b"b-1"), ("ce_time", b"2026-02-13T16:26:40.456Z")]
    assert decode(headers, value) == BATCH


def test_an_old_version_climbs_every_step_to_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    def to_v0(value: Value) -> tuple[str, Value]:
        return "nextstate.feedback.given.v0", {**value, "action_id": value["turn_id"]}

    def to_v1(value: Value) -> tuple[str, Value]:
        return FeedbackGiven.type, {**value, "rating": value["thumb"]}

    monkeypatch.setitem(UPCASTERS, "nextstate.feedback.v0", to_v0)
    monkeypatch.setitem(UPCASTERS, "nextstate.feedback.given.v0", to_v1)
    headers = golden_headers("nextstate.feedback.v0", "application/json")
    headers += [("ce_id", b"f-0"), ("ce_time", b"2026-02-13T16:26:40Z")]
    event = decode(headers, b'{"policy":"p","turn_id":"a-0","thumb":1}')
    assert event == FeedbackGiven(id="f-0", time_ms=1_771_000_000_000, policy="p", action_id="a-0", rating=1.0)


def test_a_value_in_its_newest_version_is_left_alone() -> None:
    value = {"policy": "p"}
    assert upcast(FeedbackGiven.type, value) == (FeedbackGiven.type, value)


def test_a_version_that_nobody_knows_is_named_in_the_rejection() -> None:
    headers = golden_headers("nextstate.feedback.given.v9", "application/json")
    with pytest.raises(UnknownEventError, match=r"feedback\.given\.v9"):
        decode(headers, b"{}")
