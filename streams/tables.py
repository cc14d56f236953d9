"""`tables`: records of the log as one Arrow table per topic.

Consumes records from anywhere that yields them, in one pass; produces, by view name, a row for every record that
decoded, and one in `undecodable` for every other: nothing is dropped here. Which of two records with one id counts is
decided when all sources are together (`split_later`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.events import Event
from streams.columns import PLACE, TIME, Row, columns, schema, view_name
from streams.consumer import Recorded
from streams.topics import BY_NAME, TOPICS, Topic

Order = Sequence[tuple[str, Literal["ascending", "descending"]]]

UNDECODABLE = "undecodable"
CHUNK_ROWS = 2048  # events are held as objects until this many become columns; as many as DuckDB scans at a time

_UNDECODABLE_SCHEMA = pa.schema({**PLACE, "time": TIME, "reason": pa.string()})


class _Failure(NamedTuple):
    """A row of `undecodable`; `timestamp_ms` is the record's own time, as no event is there to tell."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: str


def tables(records: Iterable[Recorded]) -> dict[str, pa.Table]:
    """One table per topic and `undecodable`, by view name; a topic without records has its columns and no rows."""
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    chunks: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)
    failures: list[_Failure] = []
    for recorded in records:
        name = recorded.topic
        if recorded.event is None:
            failures.append(_failure(recorded, str(recorded.error)))
            continue
        rows[name].append(_row(recorded, recorded.event))
        if len(rows[name]) == CHUNK_ROWS:
            chunks[name] += _to_arrow(BY_NAME[name], rows.pop(name), failures)
    for name, rest in rows.items():
        chunks[name] += _to_arrow(BY_NAME[name], rest, failures)
    found = {view_name(topic): pa.Table.from_batches(chunks[topic.name], schema(columns(topic))) for topic in TOPICS}
    return {**found, UNDECODABLE: _undecodable(failures)}


def split_later(table: pa.Table, key: str, order: Order) -> tuple[pa.Table, pa.Table]:
    """The first row of each key in this order, and all later ones; the table itself where no key comes twice."""
    keys = table[key].to_pylist()
    ordered = pc.sort_indices(table.select([name for name, _ in order]), sort_keys=order).to_numpy().tolist()
    first: dict[object, int] = {}
    later = [index for index in ordered if first.setdefault(keys[index], index) != index]
    if not later:
        return table, table.slice(0, 0)
    return table.take(list(first.values())), table.take(later)


def _row(recorded: Recorded, event: Event) -> Row:
    producer = next((raw for name, raw in recorded.headers if name == "ce_source"), b"")
    return Row(
        topic=recorded.topic,
        partition=recorded.partition,
        offset=recorded.offset,
        timestamp_ms=recorded.timestamp_ms,
        producer=producer.decode(errors="replace"),
        event=event,
    )


def _to_arrow(topic: Topic, rows: Sequence[Row], failures: list[_Failure]) -> list[pa.RecordBatch]:
    """The rows as columns; one that does not fit (a number over 64 bits) is found by halving and becomes a failure."""
    try:
        arrays = [_array([column.read(row) for row in rows], column.type) for column in columns(topic)]
        return [pa.RecordBatch.from_arrays(arrays, schema=schema(columns(topic)))]
    except (pa.ArrowException, OverflowError) as error:
        if len(rows) > 1:
            half = len(rows) // 2
            return _to_arrow(topic, rows[:half], failures) + _to_arrow(topic, rows[half:], failures)
        reason = f"{rows[0].event.type} {rows[0].event.id} does not fit the columns of its view: {error}."
        failures.append(_failure(rows[0], reason))
        return []


def _array(values: Sequence[object], kind: pa.DataType) -> "pa.Array[Any]":
    """One column. Only what holds objects of ours is taken apart first: token ids, the bulk, go straight to Arrow."""
    return pa.array(msgspec.to_builtins(values) if _holds_struct(kind) else values, kind)


def _holds_struct(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) or (pa.types.is_list(kind) and _holds_struct(kind.value_type))


def _failure(place: Recorded | Row, reason: str) -> _Failure:
    return _Failure(place.topic, place.partition, place.offset, place.timestamp_ms, reason)


def _undecodable(failures: Sequence[_Failure]) -> pa.Table:
    by_column = [[failure[place] for failure in failures] for place in range(len(_Failure._fields))]
    return pa.table(by_column, schema=_UNDECODABLE_SCHEMA)
