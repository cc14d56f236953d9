"""The form of an archive's files: one row per record, with its columns as views have them, and the record itself.

    topic, partition, offset, record_time, producer, error, event_id, time, ...   as streams/tables.py makes them
    epoch                    how often the partition's offsets had begun anew: of a topic made again, or a log cut off
    is_first                 whether it is the first record with its id: the one that counts
    timestamp_ms, key, value, headers    the record as Kafka had it, byte for byte

Consumes records, produces files below `topic=T/day=D/`, and records again. The raw record is what is true: columns of
another release are made again from it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import RejectedError
from schemas.identity import DIGEST_CHARS
from streams.archive.manifest import PARTIAL, ArchivedFile, Span, make_safe
from streams.columns import table_schema
from streams.config import KafkaConfig
from streams.recorded import Recorded, record_of
from streams.tables import table
from streams.topics import BY_NAME, TOPICS, Topic

_Fields = list["pa.Field[Any]"]
_HEADER: _Fields = [pa.field("name", pa.string()), pa.field("value", pa.binary())]
_RAW: _Fields = [
    pa.field("timestamp_ms", pa.int64()),
    pa.field("key", pa.binary()),
    pa.field("value", pa.binary()),
    pa.field("headers", pa.list_(pa.struct(_HEADER))),
]
_OWN: _Fields = [pa.field("epoch", pa.int64()), pa.field("is_first", pa.bool_())]
RAW = pa.schema(_RAW)
OWN = pa.schema(_OWN)
ROW_GROUP_ROWS = 20_000  # rows that a reader skips or reads at once
_ROW_GROUP_BYTES = 32 * 1024 * 1024  # of records with large values: fewer rows
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 24 * 60 * 60 * 1000
_PARQUET: dict[str, Any] = {
    "compression": "zstd",
    # Only of what questions filter and group by: zstd finds other repeats as well, and writing is a third faster.
    "use_dictionary": ["topic", "producer", "type", "policy", "conversation_id", "tenant", "subject", "source"],
}
_UNREADABLE = (pa.ArrowException, OSError)


@cache
def file_schema(topic: Topic) -> pa.Schema:
    """The columns of a topic's files."""
    return pa.schema(
        [*table_schema(topic), *(OWN.field(name) for name in OWN.names), *(RAW.field(name) for name in RAW.names)]
    )


@cache
def schema_digest(topic: Topic) -> str:
    """Tells files of this release's columns from others."""
    return hashlib.sha256(str(file_schema(topic)).encode()).hexdigest()[:DIGEST_CHARS]


def day_of(timestamp_ms: int) -> str:
    """The UTC day of a record; "unknown" for a time that no calendar has, which a clock that jumped can give."""
    return _day(timestamp_ms // _DAY_MS)


@lru_cache
def _day(number: int) -> str:
    try:
        return f"{_EPOCH + timedelta(days=number):%Y-%m-%d}"
    except OverflowError:
        return "unknown"


def rows_of(topic: Topic, records: Sequence[Recorded]) -> pa.Table:
    """Records of one topic, in their order, as rows without the archive's own columns (`OWN`)."""
    told = table(topic, records)
    raw = [
        pa.array([one.timestamp_ms for one in records], RAW.field("timestamp_ms").type),
        pa.array([one.key for one in records], RAW.field("key").type),
        pa.array([one.value for one in records], RAW.field("value").type),
        _headers(records),
    ]
    return pa.Table.from_arrays([*told.columns, *raw], schema=pa.schema([*_fields(told.schema), *_RAW]))


def _headers(records: Sequence[Recorded]) -> "pa.Array[Any]":
    """Flat columns of all names and all values, and where each record's begin: no object per header."""
    ends = pa.array([0, *accumulate(len(one.headers) for one in records)], pa.int32())
    names = pa.array([name for one in records for name, _ in one.headers], pa.string())
    values = pa.array([value for one in records for _, value in one.headers], pa.binary())
    return pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays([names, values], fields=_HEADER))


def with_own(topic: Topic, rows: pa.Table, own: pa.Table) -> pa.Table:
    """The rows as a file of their topic has them. Args: own: `OWN` of each."""
    columns = {name: rows[name] for name in rows.column_names} | {name: own[name] for name in OWN.names}
    schema = file_schema(topic)
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def write_file(folder: Path, topic: Topic, day: str, name: str, parts: Iterable[pa.Table]) -> ArchivedFile:
    """Writes a file from its parts; safe on disk at the return, and part of the archive when a manifest names it.

    Args:    name: no other file of the archive has it; parts: in the order of their records.
    """
    path = Path(f"topic={topic.name}") / f"day={day}" / f"{name}.parquet"
    whole = folder / path
    whole.parent.mkdir(parents=True, exist_ok=True)
    partial = whole.with_name(whole.name + PARTIAL)
    spans: dict[int, Span] = {}
    rows = 0
    try:
        with pq.ParquetWriter(partial, file_schema(topic), **_PARQUET) as writer:
            for part in _row_groups(parts):
                writer.write_table(part)
                rows += part.num_rows
                _widen(spans, part)
        size = partial.stat().st_size
        make_safe(partial, whole)
    finally:
        partial.unlink(missing_ok=True)  # of a failure: it holds words, and an erasure would not find it
    return ArchivedFile(
        path=str(path),
        topic=topic.name,
        day=day,
        rows=rows,
        size=size,
        schema=schema_digest(topic),
        spans=tuple(spans[partition] for partition in sorted(spans)),
    )


def empty_path(topic: Topic) -> str:
    """Where the file without rows lies that gives a topic its columns, below the archive's folder."""
    return f"topic={topic.name}/columns.parquet"


def write_empty(folder: Path) -> None:
    """Gives every topic its columns, those of this release, also where no record has been archived."""
    for topic in TOPICS:
        path = folder / empty_path(topic)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL)
        pq.write_table(file_schema(topic).empty_table(), partial)
        make_safe(partial, path)


def has_todays_columns(folder: Path, topic: Topic) -> bool:
    """Whether readers find all columns of this release there; not where an older one has written last.

    Raises:  RejectedError: the file is damaged.
    """
    path = folder / empty_path(topic)
    try:
        return path.exists() and set(file_schema(topic).names) <= set(pq.read_schema(path).names)
    except _UNREADABLE as error:
        raise RejectedError(f"{path} cannot be read ({error}): the archiver writes it again when it starts.") from error


def read_tables(folder: Path, file: ArchivedFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """A file's rows, a row group at a time. Args: columns: only these.

    Raises:  RejectedError: the file is gone or damaged.
    """
    try:
        with pq.ParquetFile(folder / file.path) as parquet:
            for number in range(parquet.num_row_groups):
                yield parquet.read_row_group(number, columns=None if columns is None else list(columns))
    except _UNREADABLE as error:
        message = f"{folder / file.path} cannot be read ({error}); bring it back from a copy of the archive."
        raise RejectedError(message) from error


def records_of(table: pa.Table) -> Iterator[Recorded]:
    """The records in some rows, decoded by this release."""
    columns = (table[name].to_pylist() for name in ("topic", "partition", "offset", *RAW.names))
    for topic, partition, offset, timestamp_ms, key, value, headers in zip(*columns, strict=True):
        yield record_of(
            KafkaConfig(),
            topic=topic,
            partition=partition,
            offset=offset,
            timestamp_ms=timestamp_ms,
            headers=[(header["name"], header["value"]) for header in headers],
            key=key,
            value=value,
        )


def with_todays_columns(topic: Topic, table: pa.Table) -> pa.Table:
    """The same rows with this release's columns, made again from the records."""
    return with_own(topic, rows_of(topic, list(records_of(table))), table.select(OWN.names))


def _fields(schema: pa.Schema) -> _Fields:
    return [schema.field(name) for name in schema.names]


def _row_groups(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of the size of a row group, whatever the parts' sizes are."""
    gathered: list[pa.Table] = []
    for part in parts:
        step = _row_group_rows(part)
        for start in range(0, part.num_rows, step):
            gathered.append(part.slice(start, step))
            num_rows, num_bytes = sum(one.num_rows for one in gathered), sum(one.nbytes for one in gathered)
            if num_rows >= ROW_GROUP_ROWS or num_bytes >= _ROW_GROUP_BYTES:
                yield pa.concat_tables(gathered).combine_chunks()
                gathered = []
    if gathered:
        yield pa.concat_tables(gathered).combine_chunks()


def _row_group_rows(part: pa.Table) -> int:
    mean_bytes = max(1, part.nbytes // max(1, part.num_rows))
    return max(1, min(ROW_GROUP_ROWS, _ROW_GROUP_BYTES // mean_bytes))


def _widen(spans: dict[int, Span], part: pa.Table) -> None:
    bounds = part.group_by("partition").aggregate([("offset", "min"), ("offset", "max")])
    for row in bounds.to_pylist():
        number, first, last = row["partition"], row["offset_min"], row["offset_max"]
        known = spans.get(number, Span(partition=number, first=first, last=last))
        spans[number] = Span(partition=number, first=min(known.first, first), last=max(known.last, last))


def topic_of(file: ArchivedFile) -> Topic:
    """The topic whose records a file holds."""
    return BY_NAME[file.topic]
