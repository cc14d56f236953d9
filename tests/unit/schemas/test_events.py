"""The event table is complete, and events are what they promise to be."""

import dataclasses

import pytest
from example_events import EXAMPLES

from schemas import events
from schemas.events import EVENT_TYPES, TYPES, Event


def test_every_event_class_is_in_the_table_of_types() -> None:
    declared = {value for value in vars(events).values() if isinstance(value, type) and issubclass(value, Event)} - {
        Event
    }
    assert declared == set(EVENT_TYPES)


def test_no_two_events_share_a_type_name() -> None:
    assert len(TYPES) == len(EVENT_TYPES)


def test_every_type_name_ends_in_its_major_version() -> None:
    assert all(name.startswith("nextstate.") and name.rsplit(".v", 1)[1].isdigit() for name in TYPES)


def test_there_is_an_example_of_every_event() -> None:
    assert [type(example) for example in EXAMPLES] == list(EVENT_TYPES)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.type)
def test_an_event_cannot_be_changed(event: Event) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.policy = "other"  # type: ignore[misc]
