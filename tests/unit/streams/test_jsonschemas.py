"""The published schemas are current, complete, and true to what the codec writes."""

import orjson
import pytest
from example_events import BATCH, EXAMPLES

from schemas.events import TYPES, Event
from streams.codec import encode
from streams.jsonschemas import FOLDER, documents
from streams.topics import TOPICS


def test_the_checked_in_schemas_are_current() -> None:
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == documents(), (
        "run python -m streams.jsonschemas"
    )


def test_every_event_and_every_topic_is_published() -> None:
    published = documents()
    assert {f"{name}.json" for name in TYPES} == published.keys() - {"topics.json"}
    assert orjson.loads(published["topics.json"])["topics"].keys() == {topic.name for topic in TOPICS}


@pytest.mark.parametrize("event", [event for event in EXAMPLES if event is not BATCH], ids=lambda event: event.type)
def test_the_schema_names_exactly_the_fields_of_the_value(event: Event) -> None:
    topic = next(topic for topic in TOPICS if type(event) in topic.types)
    schema = orjson.loads(documents()[f"{event.type}.json"])
    written = orjson.loads(encode(topic, event, "test").value)
    assert set(schema["properties"]) == set(written)
    assert set(schema["required"]) <= set(written)
