"""OpenClaw's session store: any bytes as an SQLite file, and any rows in one.

The law is that of the text formats. A row that cannot be read does not keep the others from being imported.
"""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from infra.faults.fuzz.case import Case
from infra.faults.fuzz.json_damage import damaged
from infra.faults.fuzz.odd import ODD, Raw, odd_bytes
from infra.faults.fuzz.target import Answer, Material, Target
from infra.faults.fuzz.targets.chats import SESSION
from infra.faults.fuzz.targets.importing import imported

_COLUMNS = "session_id, seq, event_json, event_zstd, event_utf8_bytes"
_TABLE = (
    f"CREATE TABLE transcript_events ({_COLUMNS})"  # without the types that OpenClaw gives: anything may stand there
)
Row = list[Any]


def make(name: str, folder: Path) -> Target:  # noqa: ARG001 - every target's form
    """The target."""
    return Store(folder)


class Store:
    """One file at a time."""

    def __init__(self, folder: Path) -> None:
        plain = [["s1", number, json.dumps(entry), None, None] for number, entry in enumerate(SESSION)]
        packed = [_packed(row) for row in plain]
        seeds = [_file(plain), _file(packed), _file([*plain, *(["s2", *row[1:]] for row in packed)])]
        self.material = Material(seeds=[Case({}, body) for body in seeds], mutators=(_rows_damaged,))
        self._file = folder / "store.sqlite"

    def fresh(self) -> None:
        """Nothing is kept between files."""

    def attempt(self, case: Case) -> Answer:
        """One file."""
        return imported(self._file, case.body)


def _packed(row: Row) -> Row:
    raw = row[2].encode()
    return [*row[:2], None, pa.Codec("zstd").compress(raw, asbytes=True), len(raw)]


def _file(rows: Iterable[Row]) -> bytes:
    with closing(sqlite3.connect(":memory:")) as store, store:
        store.execute(_TABLE)
        store.executemany("INSERT INTO transcript_events VALUES (?, ?, ?, ?, ?)", rows)
        store.commit()
        return store.serialize()


def _rows_damaged(body: bytes, rng: Random) -> bytes:
    """A store of which one row is another; raises ValueError where the bytes are no store."""
    try:
        with closing(sqlite3.connect(":memory:")) as store:
            store.deserialize(body)
            rows = [list(row) for row in store.execute(f"SELECT {_COLUMNS} FROM transcript_events")]
        if not rows:
            raise ValueError("no rows")
        _damage(rng.choice(rows), rng)
        return _file(rows)
    except (sqlite3.Error, OverflowError, pa.ArrowException, UnicodeError) as error:
        raise ValueError(str(error)) from error


def _damage(row: Row, rng: Random) -> None:
    match rng.randrange(5):
        case 0 if isinstance(row[2], str):
            row[2] = damaged(row[2].encode(), rng).decode("utf-8", "replace")
        case 1 if isinstance(row[3], bytes):
            row[3] = odd_bytes(row[3], rng)
        case 2:
            row[4] = rng.choice((None, 0, -1, 1, 2**31, 2**40, 2**62, "x", 1.5, b"x"))
        case 3 if isinstance(row[2], str):
            row[:] = _packed(row)
        case _:
            value = rng.choice(ODD)
            fits = isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63)
            row[rng.randrange(5)] = value if fits else value.text if isinstance(value, Raw) else None
