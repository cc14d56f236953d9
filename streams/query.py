"""`LogQuery`: the log as DuckDB views (streams/VIEWS.md), one snapshot per object.

Owns the in-memory database and its walls: SELECT only, and no network, no extensions, no Python variables, no files but
the archive's. Consumes an archive, and tables by view name from one or more sources (what Kafka has beyond the archive;
anything else that yields such tables); produces rows. The log is read once, at the first question.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from schemas.errors import RejectedError
from streams.archive.manifest import Manifest
from streams.archive.reading import Archive, damaged
from streams.archive.sql import add_table, quoted, ready_made
from streams.archive.views import READY_MADE, age_view, raw_view, ready_made_views, topic_views
from streams.columns import view_name
from streams.config import KafkaConfig
from streams.consumer import read_all, read_erasures
from streams.erasures import without_erased
from streams.positions import behind
from streams.recorded import Recorded, is_restored_from
from streams.tables import FIRST_RECORD, mark_first, tables
from streams.topics import TOPICS, Topic

# Two views of records of any topic, two functions that take SQL or names as text, and escapes in quoted names.
_OF_ALL_TOPICS = {"duplicates", "undecodable", "log", "query", "query_table", "uescape"}

Source = Callable[[], Mapping[str, pa.Table]]

# The log is text that strangers wrote and SQL may be theirs too: what a query can reach is the views and nothing else.
_WALLS = """
    SET TimeZone = 'UTC';
    SET autoinstall_known_extensions = false;
    SET autoload_known_extensions = false;
    SET python_enable_replacements = false;
    SET temp_directory = '';
    SET allowed_directories = [{folders}];
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

    def __init__(
        self, config: KafkaConfig | None, sources: Sequence[Source] = (), *, archive: Archive | None = None
    ) -> None:
        """Keep where the log lies; nothing is read yet.

        Args:    config: the broker, which is read beyond the archive; None: it is not read. sources: what to read in
                 its place; archive: records that are in it are not read from the broker.
        """
        broker = [] if config is None else [kafka_source(config, archive=archive)]
        self._sources = sources or broker
        self._archive = archive
        self._connection: duckdb.DuckDBPyConnection | None = None

    def connection(self) -> duckdb.DuckDBPyConnection:
        """The database with all views; the first call reads the log.

        Raises:  BrokerUnavailableError: the log cannot be read.
        """
        if self._connection is None:
            self._connection = connect([source() for source in self._sources], self._archive)
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
        try:
            columns = [_values(column) for column in table.columns]
        except (OverflowError, TypeError, ValueError) as error:
            message = f"The answer has values that Python cannot hold ({error}); cast them to VARCHAR."
            raise QueryRefusedError(message) from error
        return QueryResult(columns=tuple(table.column_names), rows=tuple(zip(*columns, strict=True)))


def kafka_source(config: KafkaConfig, topics: Sequence[Topic] = TOPICS, *, archive: Archive | None = None) -> Source:
    """Topics of the broker, up to their end at the time of the call; no rows of any other.

    Args: archive: only what lies behind its last records; everything where there is none.
    """
    return lambda: tables(new_records(config, topics, archive) if topics else ())


def new_records(config: KafkaConfig, topics: Sequence[Topic], archive: Archive | None) -> Iterator[Recorded]:
    """What the broker has and the archive does not; all that it has where there is no archive.

    Raises:  as `read_all`.
    """
    after = {} if archive is None else behind(config, topics, archive.manifest)
    erasures = read_erasures(config)
    for known in () if archive is None else archive.manifest.forgotten:
        erasures.add(known.erasure)
    for record in without_erased(read_all(config, topics, after=after), erasures):
        if archive is None or not is_restored_from(archive.manifest.archive_id, record.headers):
            yield record


def topics_of(text: str) -> tuple[Topic, ...]:
    """The topics that this SQL can see anything of, by the words in it; rather one too many than one too few."""
    words = _words(text)
    for name in reversed(READY_MADE):  # each uses only those before it; its macros begin with its name
        if any(word.startswith(name) for word in words):
            words |= _words(ready_made(name))
    if words & _OF_ALL_TOPICS:
        return TOPICS
    return tuple(topic for topic in TOPICS if view_name(topic) in words)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def connect(parts: Iterable[Mapping[str, pa.Table]], archive: Archive | None = None) -> duckdb.DuckDBPyConnection:
    """A database with the documented views, walled in.

    Args: parts: tables by view name, as `streams.tables.tables` makes them; one mapping per source. A name that is no
          topic's becomes a table as it is.
    """
    parts = list(parts)
    connection = duckdb.connect(":memory:")
    connection.execute("CREATE SCHEMA log")
    relations: dict[str, list[str]] = {view_name(topic): [] for topic in TOPICS}
    tails: list[str] = []
    if archive is not None:
        archive.add_to(connection)
        for name, of_topic in relations.items():
            of_topic.append(f"log.{name}_archived")
    for name, of_topic in relations.items():
        tail = pa.concat_tables([part[name] for part in parts] or [tables(())[name]])
        if tail.num_rows or not of_topic:
            _add_tail(connection, name, tail, of_topic)
            of_topic.append(f"log.{name}_tail")
            tails.append(name)
    for name in parts[0].keys() - relations.keys() if parts else ():
        add_table(connection, name, pa.concat_tables([part[name] for part in parts]))
    for statement in topic_views(relations):
        connection.execute(statement)
    if archive is not None:
        connection.execute(raw_view())
        for statement in age_view(archive.folder):
            connection.execute(statement)
    ready = ready_made_views(None, Manifest()) if archive is None else archive.ready_made_views(tails)
    try:
        for statement in ready:
            connection.execute(statement)
    except duckdb.Error as error:  # the turns of what came after the summary are joined at once
        raise damaged(error) from error
    folders = [] if archive is None else [str(archive.folder)]
    connection.execute(_WALLS.format(folders=", ".join(map(quoted, folders))))
    return connection


def _add_tail(connection: duckdb.DuckDBPyConnection, name: str, tail: pa.Table, archived: Sequence[str]) -> None:
    """What is not archived, as a table; a record whose id is in the archive is not the first with it."""
    is_first = mark_first(tail, "event_id", FIRST_RECORD)
    add_table(connection, f"log.{name}_tail", tail.append_column("is_first", is_first))
    for relation in archived:
        connection.execute(
            f"UPDATE log.{name}_tail SET is_first = false WHERE event_id IN "
            f"(SELECT event_id FROM {relation} WHERE event_id IN (SELECT event_id FROM log.{name}_tail))"
        )


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


def _span(value: Any) -> timedelta | str:
    """A span as Python has it; as text where it has months, which have no length of their own."""
    rest = timedelta(days=value.days, microseconds=value.nanoseconds // 1000)
    return f"{value.months} months {rest}" if value.months else rest


def _values(column: "pa.ChunkedArray[Any]") -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:  # Python's own UTC: a machine may have no time zone files
        naive: list[Any] = column.cast(pa.timestamp(kind.unit)).to_pylist()
        return [None if value is None else value.replace(tzinfo=UTC) for value in naive]
    values = column.to_pylist(maps_as_pydicts="strict")
    if pa.types.is_interval(kind):
        return [None if value is None else _span(value) for value in values]
    if pa.types.is_decimal(kind) and kind.scale == 0:  # sum() of whole numbers is a HUGEINT
        return [None if value is None else int(value) for value in values]
    return values
