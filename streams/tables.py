"""`tables`: records of the log as one Arrow table per topic.

Consumes records from anywhere that yields them, in one pass; produces, by view name, one row per record: nothing is
dropped, and rows keep the order of their records. A record that did not decode has its place, its time and an `error`,
and NULL elsewhere. Which of two records with one id counts is decided when all sources are together (`mark_first`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from streams.columns import RECORD_COLUMNS, Row, columns, table_schema, view_name
from streams.recorded import Recorded, header_text
from streams.topics import BY_NAME, TOPICS, Topic

Order = Sequence[tuple[str, Literal["ascending", "descending"]]]

FIRST_RECORD: Order = [("partition", "ascending"), ("offset", "ascending")]
CHUNK_ROWS = 2048  # events are held as objects until this many become columns; as many as DuckDB scans at a time


def tables(records: Iterable[Recorded]) -> dict[str, pa.Table]:
    """One table per topic, by view name; a topic without records has its columns and no rows."""
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    chunks: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)
    for recorded in records:
        name = recorded.topic
        rows[name].append(_row(recorded))
        if len(rows[name]) == CHUNK_ROWS:
            chunks[name] += _to_arrow(BY_NAME[name], rows.pop(name))
    for name, rest in rows.items():
        chunks[name] += _to_arrow(BY_NAME[name], rest)
    return {view_name(topic): pa.Table.from_batches(chunks[topic.name], table_schema(topic)) for topic in TOPICS}


def table(topic: Topic, records: Sequence[Recorded]) -> pa.Table:
    """Records of one topic, in their order."""
    return pa.Table.from_batches(_to_arrow(topic, [_row(record) for record in records]), table_schema(topic))


def mark_first(table: pa.Table, key: str, order: Order) -> "pa.Array[Any]":
    """[rows] bool: whether a row is the first of its key in this order; never where the key is NULL."""
    keys = table[key].to_pylist()
    ordered = pc.sort_indices(table.select([name for name, _ in order]), sort_keys=order).to_numpy().tolist()
    first: dict[object, int] = {}
    for index in ordered:
        first.setdefault(keys[index], index)
    return pa.array([keys[index] is not None and first[keys[index]] == index for index in range(len(keys))], pa.bool_())


def _row(recorded: Recorded) -> Row:
    return Row(
        topic=recorded.topic,
        partition=recorded.partition,
        offset=recorded.offset,
        timestamp_ms=recorded.timestamp_ms,
        producer=header_text(recorded.headers, "ce_source"),
        event=recorded.event,
        error=None if recorded.event is not None else str(recorded.error),
    )


def _to_arrow(topic: Topic, rows: Sequence[Row]) -> list[pa.RecordBatch]:
    """The rows as columns; one that does not fit (a number over 64 bits) is found by halving and gets an error."""
    try:
        return [_batch(topic, rows)]
    except (pa.ArrowException, OverflowError) as error:
        if len(rows) > 1:
            half = len(rows) // 2
            return _to_arrow(topic, rows[:half]) + _to_arrow(topic, rows[half:])
        (row,) = rows
        if row.event is None:  # a place or time that no broker can give
            raise
        reason = f"{row.event.type} {row.event.id} does not fit the columns of its view: {error}."
        return [_batch(topic, [row._replace(event=None, error=reason)])]


def _batch(topic: Topic, rows: Sequence[Row]) -> pa.RecordBatch:
    whole = [row for row in rows if row.event is not None]
    of_events = [_array([column.read(row) for row in whole], column.type) for column in columns(topic)]
    if len(whole) < len(rows):
        places = iter(range(len(whole)))
        taken = pa.array([None if row.event is None else next(places) for row in rows], pa.int64())
        of_events = [column.take(taken) for column in of_events]
    of_records = [_array([column.read(row) for row in rows], column.type) for column in RECORD_COLUMNS]
    return pa.RecordBatch.from_arrays([*of_records, *of_events], schema=table_schema(topic))


def _array(values: Sequence[object], kind: pa.DataType) -> "pa.Array[Any]":
    """One column. Only what holds objects of ours is taken apart first: token ids, the bulk, go straight to Arrow."""
    return pa.array(msgspec.to_builtins(values) if _holds_struct(kind) else values, kind)


def _holds_struct(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) or (pa.types.is_list(kind) and _holds_struct(kind.value_type))
