"""An old version is read as today's class, and says neither more nor less than it said."""

import re
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, ClassVar

import orjson
import pytest
from example_events import ACTION

from schemas import upcast as module
from schemas.errors import MalformedEventError, UnknownEventError
from schemas.events import EVENT_TYPES, TYPES, Event, FeedbackGiven
from schemas.upcast import READABLE, RETIRED, UPCASTERS, ActionTakenV1, FeedbackGivenV1, upcast
from streams.codec import decode, encode
from streams.topics import FEEDBACK

CONTEXT: dict[str, Any] = {
    "time_ms": 1_771_000_000_000,
    "policy": "p",
    "conversation_id": "c",
    "tenant": "acme",
    "subject": "ada",
    "source": "gui",
    "episode_id": "e",
    "group_id": "g",
    "step": 2,
}
MAJOR = re.compile(r"(?P<stem>.+)\.v(?P<number>[0-9]+)")


def feedback_v1(**value: object) -> Event:
    """What a record of a v1 producer decodes to."""
    headers: list[tuple[str, bytes | None]] = [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"nextstate.feedback.given.v1"),
        ("ce_id", b"f-0"),
        ("ce_time", b"2026-02-13T16:26:40Z"),
    ]
    return decode(headers, orjson.dumps({"policy": "p", "action_id": "a-0", **value}))


def feedback(**fields: Any) -> FeedbackGiven:
    return FeedbackGiven(id="f-0", time_ms=1_771_000_000_000, policy="p", action_id="a-0", **fields)


@pytest.mark.parametrize(("rating", "thumb"), [(1, 1), (-1.0, -1)])
def test_plus_and_minus_one_of_v1_are_the_thumbs_that_it_said_they_are(rating: float, thumb: Any) -> None:
    assert feedback_v1(rating=rating, comment="So.") == feedback(thumb=thumb, comment="So.")


@pytest.mark.parametrize("rating", [4.5, 0, 2, 1.0000001, None])
def test_another_number_of_v1_is_a_rating_whose_scale_nobody_knows(rating: float | None) -> None:
    assert feedback_v1(rating=rating) == feedback(rating=rating)


def test_whose_an_event_is_survives_the_climb() -> None:
    old = FeedbackGivenV1(id="f-0", action_id="a-0", comment="So.", **CONTEXT)
    assert upcast(old) == FeedbackGiven(id="f-0", action_id="a-0", comment="So.", **CONTEXT)


def test_an_action_of_v1_is_read_with_all_that_it_said_and_no_tail() -> None:
    told = {field.name: getattr(ACTION, field.name) for field in fields(ActionTakenV1)}
    value = orjson.dumps({**told, "prompt_tail": {"start": 0, "end": 1, "num_before": 0}})  # of v1 it means nothing
    headers: list[tuple[str, bytes | None]] = [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"nextstate.action.taken.v1"),
        ("ce_id", ACTION.id.encode()),
        ("ce_time", b"2026-02-13T16:26:40.123Z"),
    ]
    assert decode(headers, value) == replace(ACTION, messages_tail=None, prompt_tail=None)


@pytest.mark.parametrize("rating", [True, "1", [1]])
def test_what_v1_refused_is_refused_still_in_its_own_name(rating: object) -> None:
    with pytest.raises(MalformedEventError, match=r"feedback\.given\.v1 f-0 does not fit .*\$\.rating"):
        feedback_v1(rating=rating)


def test_a_field_that_v1_did_not_have_means_nothing_there() -> None:
    assert feedback_v1(rating=4.0, thumb=7, worst_rating="1") == feedback(rating=4.0)


def test_an_old_version_climbs_every_step_to_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class FeedbackGivenV0(Event):
        type: ClassVar[str] = "nextstate.feedback.given.v0"
        turn_id: str

    def to_v1(old: FeedbackGivenV0) -> Event:
        return FeedbackGivenV1(id=old.id, time_ms=old.time_ms, policy=old.policy, action_id=old.turn_id, rating=1.0)

    monkeypatch.setitem(UPCASTERS, FeedbackGivenV0, to_v1)
    oldest = FeedbackGivenV0(id="f-0", time_ms=1_771_000_000_000, policy="p", turn_id="a-0")
    assert upcast(oldest) == feedback(thumb=1)


def test_a_newest_version_is_left_alone() -> None:
    event = feedback(thumb=1)
    assert upcast(event) is event


def test_every_old_version_is_retired_and_has_its_successor() -> None:
    declared = {value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Event)}
    assert declared - {Event, *EVENT_TYPES} == set(UPCASTERS)
    assert RETIRED.keys().isdisjoint(TYPES)
    by_stem: dict[str, list[int]] = {}
    for match in map(MAJOR.fullmatch, READABLE):
        assert match is not None
        by_stem.setdefault(match["stem"], []).append(int(match["number"]))
    for numbers in map(sorted, by_stem.values()):
        assert numbers[0] == 1
        assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
    newest = {f"{stem}.v{max(numbers)}" for stem, numbers in by_stem.items()}
    assert newest == set(TYPES)


def test_an_old_version_is_never_written() -> None:
    with pytest.raises(MalformedEventError, match="FeedbackGivenV1 cannot be encoded"):
        encode(FEEDBACK, FeedbackGivenV1(id="f-0", action_id="a-0", **CONTEXT), "test")


def test_a_version_that_nobody_knows_is_named_in_the_rejection() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_type", b"nextstate.feedback.given.v9")]
    with pytest.raises(UnknownEventError, match=r"feedback\.given\.v9"):
        decode(headers, b"{}")
