"""`table_damaged`: a batch with something wrong in it, as Arrow bytes that are an Arrow stream all the same."""

import math
from collections.abc import Callable
from random import Random
from typing import Any, Literal

import pyarrow as pa

from infra.faults.fuzz.json_damage import damaged

_CODECS: tuple[Literal["zstd", "lz4"] | None, ...] = (None, None, "zstd", "lz4")
_NUMBERS = (0, 1, -1, 99, 100, 2**31 - 1, -(2**31))
_FLOATS = (0.0, -1.0, math.nan, math.inf, -math.inf, 3e38, 1e-45)
_TEXTS = ("", "s-2", "a-2", "\0", "x" * 300, "unscored", "engine")
_TYPES = (pa.int64(), pa.float64(), pa.large_string(), pa.binary(), pa.string(), pa.null(), pa.list_(pa.int64()))


def table_damaged(body: bytes, rng: Random) -> bytes:
    """A batch, damaged in one to three ways; raises ValueError where the bytes hold none."""
    try:
        table = pa.ipc.open_stream(body).read_all()
        table.validate(full=True)
        for _ in range(rng.choice((1, 1, 2, 3))):
            table = rng.choice(_WAYS)(table, rng)
        return _written(table, rng)
    except (pa.ArrowException, OSError, MemoryError, OverflowError, TypeError) as error:
        raise ValueError(str(error)) from error


def _written(table: pa.Table, rng: Random) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=rng.choice(_CODECS))
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rng.choice((None, 1, 2)))
    return bytes(sink.getvalue())


def _values(table: pa.Table, rng: Random) -> pa.Table:
    """One value of one column, or one within it, is another."""
    place = rng.randrange(table.num_columns)
    field, values = table.schema.field(place), table.column(place).to_pylist()
    if values:
        row = rng.randrange(len(values))
        values[row] = None if rng.random() < 0.05 else _other(field.type, values[row], rng)
    return table.set_column(place, field.with_nullable(True), pa.array(values, field.type))


def _other(kind: Any, value: Any, rng: Random) -> Any:
    if pa.types.is_list(kind):
        items = list(value or ())
        match rng.randrange(4):
            case 0:
                return items[:-1]
            case 1:
                return [*items, _other(kind.value_type, None, rng)]
            case 2 if items:
                place = rng.randrange(len(items))
                items[place] = _other(kind.value_type, items[place], rng)
                return items
            case _:
                return items * rng.choice((0, 2, 50))
    if pa.types.is_struct(kind):
        return {
            **(value or {"version": 1, "start": 0, "end": 1}),
            rng.choice(("version", "start", "end")): _number(rng),
        }
    if pa.types.is_floating(kind):
        return rng.choice(_FLOATS)
    return _number(rng) if pa.types.is_integer(kind) else rng.choice(_TEXTS)


def _number(rng: Random) -> int:
    return rng.choice(_NUMBERS)


def _column(table: pa.Table, rng: Random) -> pa.Table:
    """A column that is gone, twice there, of another name, type or order."""
    place = rng.randrange(table.num_columns)
    field, column = table.schema.field(place), table.column(place)
    match rng.randrange(6):
        case 0:
            return table.remove_column(place)
        case 1:
            return table.append_column(field, column)
        case 2:
            return table.rename_columns([f"{name}_" if name == field.name else name for name in table.column_names])
        case 3:
            return table.set_column(place, field.name, column.cast(rng.choice(_TYPES), safe=False))
        case 4:
            return table.set_column(place, field.name, column.combine_chunks().dictionary_encode())
        case _:
            return table.select(rng.sample(table.column_names, table.num_columns))


def _rows(table: pa.Table, rng: Random) -> pa.Table:
    """Rows that are gone, or there again."""
    return rng.choice((table.slice(0, 0), table.slice(1), pa.concat_tables([table, table]), table.slice(0, 1)))


def _metadata(table: pa.Table, rng: Random) -> pa.Table:
    """The event in the schema's metadata, damaged or gone; or a name that is no UTF-8."""
    found = dict(table.schema.metadata or {})
    for name, value in list(found.items()):
        found[name] = damaged(value, rng)
    return table.replace_schema_metadata(rng.choice((found, found, found, {}, {b"\xff": b"\xff"})))


_WAYS: tuple[Callable[[pa.Table, Random], pa.Table], ...] = (_values, _values, _values, _column, _rows, _metadata)
