"""`columns`: what users see of each topic, typed by the events' own dataclasses.

Owns the names and Arrow types of the views' columns (streams/VIEWS.md). A new field of an event is a new column without
a line here.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pyarrow as pa

from schemas.events import Event
from streams.topics import Topic

TIME = pa.timestamp("ms", tz="UTC")

_SCALARS: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


_END_OF_TIME_MS = 253_402_300_800_000  # the year 10000: no calendar of ours goes on; a clock that jumped may


class Row(NamedTuple):
    """What columns are read from: an event or the reason for none, its place and writer; not its value: megabytes."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    producer: str
    event: Event | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column and where its values come from."""

    name: str
    type: pa.DataType
    read: Callable[[Row], object]


def view_name(topic: Topic) -> str:
    """The topic's name as SQL can write it without quotes."""
    return topic.name.replace("-", "_")


def arrow_type(hint: Any) -> pa.DataType:
    """The Arrow type of a field of an event; an optional field has that of its value, as every column can be null."""
    if is_dataclass(hint):
        return pa.struct([(name, arrow_type(inner)) for name, inner in _hints(hint).items()])
    arms = [arm for arm in get_args(hint) if arm not in {NoneType, Ellipsis}]
    if get_origin(hint) is Literal:
        return _SCALARS[type(arms[0])]
    if get_origin(hint) is tuple:  # plain whole numbers in a row are token ids, which engines hold in 32 bits
        return pa.list_(pa.int32() if arms[0] is int else arrow_type(arms[0]))
    if get_origin(hint) is dict:
        return pa.map_(arrow_type(arms[0]), arrow_type(arms[1]))
    return arrow_type(arms[0]) if arms else _SCALARS[hint]


def event_columns() -> tuple[Column, ...]:
    """What every event has: identity, and whose it is."""
    context = {name: hint for name, hint in _hints(Event).items() if name not in {"id", "time_ms"}}
    return (
        Column("event_id", pa.string(), attrgetter("event.id")),
        Column("time", TIME, attrgetter("event.time_ms")),
        Column("type", pa.string(), attrgetter("event.type")),
        *(Column(name, arrow_type(hint), attrgetter(f"event.{name}")) for name, hint in context.items()),
    )


RECORD_COLUMNS: Final = (  # what every record has, also one that holds no event
    Column("topic", pa.string(), attrgetter("topic")),
    Column("partition", pa.int64(), attrgetter("partition")),
    Column("offset", pa.int64(), attrgetter("offset")),
    Column("record_time", TIME, lambda row: row.timestamp_ms if abs(row.timestamp_ms) < _END_OF_TIME_MS else None),
    Column("producer", pa.string(), attrgetter("producer")),
    Column("error", pa.string(), attrgetter("error")),
)


@cache
def columns(topic: Topic) -> tuple[Column, ...]:
    """What is read from the events of a topic: what all have, then the fields of the topic's own event types."""
    own = {name: hint for kind in topic.types for name, hint in _hints(kind).items() if name not in _hints(Event)}
    is_in_all = len(topic.types) == 1
    return (*event_columns(), *(_own_column(name, hint, is_in_all=is_in_all) for name, hint in own.items()))


SHARED: Final = ("event_id", "time", "type", "topic", "partition", "offset", "producer")


def view_columns(topic: Topic) -> list[str]:
    """The names of the columns of a topic's view, in their order (streams/VIEWS.md)."""
    return [*SHARED, *(column.name for column in columns(topic) if column.name not in SHARED)]


def shared_columns() -> list[str]:
    """The names of those columns that the views of all topics have."""
    return [*SHARED, *(column.name for column in event_columns() if column.name not in SHARED)]


def table_schema(topic: Topic) -> pa.Schema:
    """The columns of a topic's table: of its records, then of their events."""
    return schema((*RECORD_COLUMNS, *columns(topic)))


def schema(some: tuple[Column, ...]) -> pa.Schema:
    """These columns as an Arrow schema."""
    return pa.schema([(column.name, column.type) for column in some])


def _own_column(name: str, hint: Any, *, is_in_all: bool) -> Column:
    """A field of the event itself. Args: is_in_all: of several types on one topic (promotions) not all may have it."""
    is_taken = name in {"topic", "partition", "offset", "error"}  # EventRejected is about another record
    read = attrgetter(f"event.{name}") if is_in_all else lambda row: getattr(row.event, name, None)
    return Column(f"event_{name}" if is_taken else name, arrow_type(hint), read)


def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
