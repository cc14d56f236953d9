"""`columns`: what users see of each topic, typed by the events' own dataclasses.

Owns the names and Arrow types of the views' columns (streams/VIEWS.md). A new field of an event is a new column without
a line here.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pyarrow as pa

from schemas.events import Event
from streams.topics import Topic

TIME = pa.timestamp("ms", tz="UTC")
PLACE: dict[str, pa.DataType] = {"topic": pa.string(), "partition": pa.int64(), "offset": pa.int64()}

_SCALARS: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class Row(NamedTuple):
    """What columns are read from: an event, its place and its writer; not its value, which may be megabytes."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    producer: str
    event: Event


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


def shared_columns() -> tuple[Column, ...]:
    """What every view has: identity, place in the log, writer, and whose event it is."""
    context = {name: hint for name, hint in _hints(Event).items() if name not in {"id", "time_ms"}}
    return (
        Column("event_id", pa.string(), attrgetter("event.id")),
        Column("time", TIME, attrgetter("event.time_ms")),
        Column("type", pa.string(), attrgetter("event.type")),
        *(Column(name, kind, attrgetter(name)) for name, kind in PLACE.items()),
        Column("producer", pa.string(), attrgetter("producer")),
        *(Column(name, arrow_type(hint), attrgetter(f"event.{name}")) for name, hint in context.items()),
    )


@cache
def columns(topic: Topic) -> tuple[Column, ...]:
    """The columns of a topic's view: the shared ones, then the fields of the topic's own event types."""
    own = {name: hint for kind in topic.types for name, hint in _hints(kind).items() if name not in _hints(Event)}
    return (*shared_columns(), *(_own_column(name, hint) for name, hint in own.items()))


def schema(some: tuple[Column, ...]) -> pa.Schema:
    """These columns as an Arrow schema."""
    return pa.schema([(column.name, column.type) for column in some])


def _own_column(name: str, hint: Any) -> Column:
    """A field of the event itself; of several types on one topic (promotions) not all have it."""
    clash_free = f"event_{name}" if name in PLACE else name  # EventRejected names the place of another record
    return Column(clash_free, arrow_type(hint), lambda row: getattr(row.event, name, None))


def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
