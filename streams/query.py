"""`LogQuery`: the log as DuckDB views (streams/VIEWS.md), one snapshot per object.

Owns the in-memory database and its walls: SELECT only, and no files, no network, no extensions, no Python variables.
Consumes tables by view name from one or more sources (the Kafka topics; anything else that yields such tables);
produces rows. The log is read once, at the first question.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from schemas.errors import RejectedError
from streams.columns import shared_columns, view_name
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.tables import Order, split_later, tables
from streams.topics import CURRENT_POLICIES, TOPICS, Topic

# Two views of records of any topic, two functions that take SQL or names as text, and escapes in quoted names.
_OF_ALL_TOPICS = {"duplicates", "undecodable", "query", "query_table", "uescape"}

Source = Callable[[], Mapping[str, pa.Table]]

READY_MADE = ("turns", "learning", "untrained", "lineage")  # each may use those before it
_VIEWS_DIR = Path(__file__).parent / "views"
_FIRST_RECORD: Order = [("partition", "ascending"), ("offset", "ascending")]
_NEWEST_VERSION: Order = [("version", "descending"), *_FIRST_RECORD]
_DUPLICATE_COLUMNS = [column.name for column in shared_columns()]

# The log is text that strangers wrote and SQL may be theirs too: what a query can reach is the views and nothing else.
_WALLS = """
    SET TimeZone = 'UTC';
    SET autoinstall_known_extensions = false;
    SET autoload_known_extensions = false;
    SET python_enable_replacements = false;
    SET temp_directory = '';
    SET enable_external_access = false;
    SET lock_configuration = true;
"""


class QueryRefusedError(RejectedError):
    """SQL that cannot be answered: not one SELECT, or DuckDB says why."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer to one SELECT."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class LogQuery:
    """Questions to one snapshot of the log."""

    def __init__(self, config: KafkaConfig, sources: Sequence[Source] = ()) -> None:
        """Keep where the log lies; nothing is read yet.

        Args: sources: where else to read from; the broker of `config` alone where none is given.
        """
        self._sources = sources or (kafka_source(config),)
        self._connection: duckdb.DuckDBPyConnection | None = None

    def connection(self) -> duckdb.DuckDBPyConnection:
        """The database with all views; the first call reads the log.

        Raises:  BrokerUnavailableError: the log cannot be read.
        """
        if self._connection is None:
            self._connection = connect([source() for source in self._sources])
        return self._connection

    def arrow(self, text: str, parameters: Sequence[object] = ()) -> pa.Table:
        """The answer to one SELECT, as Arrow (for files and frames).

        Args:    parameters: values of the `?` in the text.
        Raises:  QueryRefusedError: not exactly one SELECT, or DuckDB cannot run it; its message, in one sentence.
        """
        connection = self.connection()
        try:
            _require_one_select(connection, text)
            answer: pa.Table = connection.sql(text, params=list(parameters)).to_arrow_table()
        except duckdb.Error as error:
            reason = " ".join(str(error).split("\n\nLINE ")[0].split())
            message = f"DuckDB cannot run this SQL: {reason}"
            raise QueryRefusedError(message) from error
        return answer

    def sql(self, text: str, parameters: Sequence[object] = ()) -> QueryResult:
        """The answer to one SELECT, as Python values; times are in UTC. Arguments and errors as `arrow`."""
        # By way of Arrow, because DuckDB's own fetch of a TIMESTAMPTZ needs the package pytz.
        table = self.arrow(text, parameters)
        columns = [_values(column) for column in table.columns]
        return QueryResult(columns=tuple(table.column_names), rows=tuple(zip(*columns, strict=True)))


def kafka_source(config: KafkaConfig, topics: Sequence[Topic] = TOPICS) -> Source:
    """Topics of the broker, from their beginning to their end at the time of the call; no rows of any other."""
    return lambda: tables(read_all(config, topics) if topics else ())


def topics_of(text: str) -> tuple[Topic, ...]:
    """The topics that this SQL can see anything of, by the words in it; rather one too many than one too few."""
    words = _words(text)
    for name in reversed(READY_MADE):  # each uses only those before it
        if name in words:
            words |= _words((_VIEWS_DIR / f"{name}.sql").read_text())
    if words & _OF_ALL_TOPICS:
        return TOPICS
    return tuple(topic for topic in TOPICS if view_name(topic) in words)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def connect(parts: Iterable[Mapping[str, pa.Table]]) -> duckdb.DuckDBPyConnection:
    """A database with the documented views over these tables, walled in.

    Args: parts: tables by view name, as `streams.tables.tables` makes them; one mapping per source.
    """
    parts = list(parts)
    merged = {name: pa.concat_tables([part[name] for part in parts]) for name in parts[0]}
    connection = duckdb.connect(":memory:")
    for name, table in _without_duplicates(merged).items():
        connection.register(name, table)
    for name in READY_MADE:
        connection.execute((_VIEWS_DIR / f"{name}.sql").read_text())
    connection.execute(_WALLS)
    return connection


def _without_duplicates(merged: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables with the first record of each id; all other records of topics are rows of `duplicates`."""
    unique, duplicates = dict(merged), []
    for topic in TOPICS:
        name = view_name(topic)
        unique[name], later = split_later(merged[name], "event_id", _FIRST_RECORD)
        duplicates.append(later.select(_DUPLICATE_COLUMNS))
    current = view_name(CURRENT_POLICIES)  # the broker compacts in its own time; here only the newest shows at once
    unique[current], _ = split_later(unique[current], "policy", _NEWEST_VERSION)
    return {**unique, "duplicates": pa.concat_tables(duplicates)}


def _require_one_select(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryRefusedError("The SQL is not UTF-8 text; check the encoding of the terminal or file.") from error
    kinds = [statement.type for statement in connection.extract_statements(text)]
    if kinds != [duckdb.StatementType.SELECT]:
        given = ", ".join(kind.name for kind in kinds) or "nothing"
        message = f"The log is read-only: give one SELECT, DESCRIBE, SHOW or SUMMARIZE statement, not {given}."
        raise QueryRefusedError(message)


def _values(column: "pa.ChunkedArray[Any]") -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:  # Python's own UTC: a machine may have no time zone files
        naive: list[Any] = column.cast(pa.timestamp(kind.unit)).to_pylist()
        return [None if value is None else value.replace(tzinfo=UTC) for value in naive]
    values = column.to_pylist(maps_as_pydicts="strict")
    if pa.types.is_decimal(kind) and kind.scale == 0:  # sum() of whole numbers is a HUGEINT
        return [None if value is None else int(value) for value in values]
    return values
