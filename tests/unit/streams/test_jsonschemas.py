"""The published schemas are current, complete, and refuse what the codec refuses, field by field."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import golden
import orjson
import pyarrow as pa
import pytest
from example_events import BATCH, EXAMPLES
from jsonschema import Draft202012Validator

from schemas.batch import EVENT_METADATA_KEY
from schemas.errors import MalformedEventError, RejectedError
from schemas.events import Event
from schemas.upcast import READABLE, RETIRED
from streams.codec import decode, encode
from streams.jsonschemas import FOLDER, documents
from streams.topics import TOPICS

Json = Any
Path = tuple[str | int, ...]

# One record of every version: an old one as it was written once, today's with every field that it has now.
SAMPLES = {sample.type: sample for sample in (*golden.read_samples().values(), *golden.written_now())}
RATING = SAMPLES["nextstate.feedback.given.v2"]  # 2 on a scale from 1 to 5
# One of each kind of JSON, and the numbers around a thumb and a score. No 1.0: see the test of whole numbers.
REPLACEMENTS: tuple[Json, ...] = (None, True, "", "1", -1, 0, 1, 2, 0.5, [], ["text"], [7], {}, {"text": 1})


def test_the_checked_in_schemas_are_current() -> None:
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == documents(), (
        "run python -m streams.jsonschemas"
    )


def test_every_event_version_and_every_topic_is_published() -> None:
    published = documents()
    assert {f"{name}.json" for name in READABLE} == published.keys() - {"topics.json"}
    assert orjson.loads(published["topics.json"])["topics"].keys() == {topic.name for topic in TOPICS}


def test_an_old_version_is_marked_and_named_with_its_topic() -> None:
    assert {name for name in READABLE if schema(name).get("deprecated")} == set(RETIRED)
    topics = orjson.loads(documents()["topics.json"])["topics"]
    assert topics["feedback"]["types"] == ["nextstate.feedback.given.v2"]
    assert topics["feedback"]["deprecated_types"] == ["nextstate.feedback.given.v1"]
    assert {name for topic in topics.values() for name in topic["deprecated_types"]} == set(RETIRED)


@pytest.mark.parametrize("event", [event for event in EXAMPLES if event is not BATCH], ids=lambda event: event.type)
def test_the_schema_names_exactly_the_fields_of_the_value(event: Event) -> None:
    topic = next(topic for topic in TOPICS if type(event) in topic.types)
    written = orjson.loads(encode(topic, event, "test").value)
    assert set(schema(event.type)["properties"]) == set(written)
    assert set(schema(event.type)["required"]) <= set(written)


@pytest.mark.parametrize("name", READABLE)
def test_every_schema_is_itself_valid(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("name", READABLE)
def test_schema_and_codec_refuse_the_same_values(name: str) -> None:
    sample, value = SAMPLES[name], value_of(SAMPLES[name])
    refused = 0
    for path, mutant in [((), value), *mutants(value)]:
        valid = validator(name).is_valid(mutant)
        assert valid == fits(sample, mutant), (path, mutant)
        refused += not valid
    assert refused > 20


def test_a_whole_number_has_no_fraction_although_the_schema_cannot_say_so() -> None:
    value = {**value_of(RATING), "step": 3.0}
    assert validator(RATING.type).is_valid(value)
    with pytest.raises(MalformedEventError, match=r"Expected `int \| null`, got `float` - at `\$\.step`"):
        decode(RATING.headers, orjson.dumps(value))


@pytest.mark.parametrize(
    ("scale", "lawful"),
    [
        ({"worst_rating": 1.0, "best_rating": 5.0}, True),
        ({"worst_rating": 6.0, "best_rating": 1.0}, True),  # school grades
        ({"worst_rating": 2.0, "best_rating": 3.0}, True),
        ({"worst_rating": None, "best_rating": None}, True),
        ({"worst_rating": None}, False),
        ({"best_rating": None}, False),
        ({"worst_rating": 2.5}, False),
        ({"best_rating": 1.5}, False),
        ({"worst_rating": 2.0, "best_rating": 2.0}, False),
        ({"rating": None}, False),
    ],
)
def test_a_rating_lies_on_its_scale_although_the_schema_cannot_say_so(scale: dict[str, Json], lawful: bool) -> None:
    value = {**value_of(RATING), **scale}
    assert validator(RATING.type).is_valid(value)
    if lawful:
        decode(RATING.headers, orjson.dumps(value))
    else:
        with pytest.raises(MalformedEventError, match="FeedbackGiven f-1 rates"):
            decode(RATING.headers, orjson.dumps(value))


def schema(name: str) -> dict[str, Json]:
    """What is checked in, as a producer in another language reads it."""
    loaded: dict[str, Json] = orjson.loads((FOLDER / f"{name}.json").read_bytes())
    return loaded


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name))


def value_of(sample: golden.Sample) -> dict[str, Json]:
    """The JSON of a sample; a batch's is inside its Arrow stream."""
    value = pa.ipc.open_stream(sample.value).schema.metadata[EVENT_METADATA_KEY] if sample.is_batch else sample.value
    loaded: dict[str, Json] = orjson.loads(value)
    return loaded


def fits(sample: golden.Sample, value: Json) -> bool:
    """Whether the codec takes the value's fields; laws between fields (schemas/validate.py) are none of a schema's."""
    raw = orjson.dumps(value)
    try:
        decode(sample.headers, _with_event(sample.value, raw) if sample.is_batch else raw)
    except RejectedError as error:
        return "does not fit its schema" not in str(error)
    return True


def _with_event(batch: bytes, event: bytes) -> bytes:
    """The Arrow stream of a batch with another event."""
    table = pa.ipc.open_stream(batch).read_all().replace_schema_metadata({EVENT_METADATA_KEY: event})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def mutants(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    """The value with one thing changed: a field left out, replaced by another kind of JSON, or unknown.

    Of a list the first item is changed: the others have the same schema.
    """
    if isinstance(value, dict):
        yield (*path, "+"), {**value, "unknown": 1}
    places = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for place, inner in places:
        here = (*path, place)
        yield here, _without(value, place)
        for replacement in REPLACEMENTS:
            yield here, _with(value, place, replacement)
        for deeper, mutant in mutants(inner, here):
            yield deeper, _with(value, place, mutant)


def _with(value: Json, place: Json, inner: Json) -> Json:
    copy = value.copy()
    copy[place] = inner
    return copy


def _without(value: Json, place: Json) -> Json:
    copy = value.copy()
    del copy[place]
    return copy
