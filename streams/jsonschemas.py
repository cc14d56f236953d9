"""`documents`: the JSON Schema of every event version, and how its topic is keyed, for producers in any language.

Consumes schemas/events.py, schemas/upcast.py and streams/topics.py; `python -m streams.jsonschemas` writes
schemas/json/, and a test checks that what is checked in is current.
"""

from pathlib import Path
from typing import Any

import msgspec
import orjson

import schemas
from schemas.batch import EVENT_METADATA_KEY
from schemas.events import BatchSealed, Event
from schemas.upcast import READABLE, RETIRED
from streams.codec import ARROW_CONTENT_TYPE, JSON_CONTENT_TYPE
from streams.topics import MAX_RECORD_BYTES, PARTITIONER, TOPICS, Topic

FOLDER = Path(schemas.__file__).parent / "json"
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


def documents() -> dict[str, bytes]:
    """File name -> content, for the whole folder."""
    by_type = {f"{name}.json": _event_schema(name, event_type) for name, event_type in READABLE.items()}
    return {name: orjson.dumps(document, option=_OPTIONS) for name, document in {**by_type, **_topics()}.items()}


def main() -> None:
    """Write the folder; files that belong to no event go."""
    current = documents()
    for stale in FOLDER.glob("*.json"):
        if stale.name not in current:
            stale.unlink()
    for name, content in current.items():
        (FOLDER / name).write_bytes(content)


def _event_schema(name: str, event_type: type[Event]) -> dict[str, Any]:
    """What the value holds: every field but those that travel as headers (a batch has all, inside its Arrow stream)."""
    _, definitions = msgspec.json.schema_components([event_type])
    own = definitions.pop(event_type.__name__)
    if event_type is not BatchSealed:
        for envelope in ("id", "time_ms"):
            del own["properties"][envelope]
            own["required"].remove(envelope)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{name}.json", **own}
    if name in RETIRED:
        schema["deprecated"] = True  # JSON Schema's word for: still accepted, write the newest instead
    return {**schema, "$defs": definitions} if definitions else schema


def _topics() -> dict[str, Any]:
    return {
        "topics.json": {
            "headers": {
                "ce_specversion": "1.0",
                "ce_id": "the event's id: the same id again is the same event",
                "ce_type": "the name of a schema in this folder",
                "ce_source": "who produces it",
                "ce_time": "when it happened, RFC 3339 with a zone",
                "content-type": JSON_CONTENT_TYPE.decode(),
            },
            "batch": {"content-type": ARROW_CONTENT_TYPE.decode(), "metadata_key": EVENT_METADATA_KEY.decode()},
            "partitioner": PARTITIONER,
            "max_record_bytes": MAX_RECORD_BYTES,
            "topics": {topic.name: _topic(topic) for topic in TOPICS},
        }
    }


def _topic(topic: Topic) -> dict[str, Any]:
    return {
        "types": [event.type for event in topic.types],
        "deprecated_types": [old for event in topic.types for old in RETIRED if _stem(old) == _stem(event.type)],
        "key": topic.key.__doc__,
        "partitions": topic.partitions,
        "compacted": topic.compacted,
    }


def _stem(event_type: str) -> str:
    """A type's name without its major version."""
    return event_type.rpartition(".v")[0]


if __name__ == "__main__":
    main()
