"""`JsonLines`: the log as a file of JSON lines per topic, under the same views: what it would be without an archive.

For measurements: the archive's answers and sizes are compared with it.
"""

from pathlib import Path

import duckdb

from streams.archive.manifest import Manifest
from streams.archive.sql import quoted
from streams.archive.views import ready_made_views, topic_views
from streams.columns import view_name
from streams.query import LogQuery
from streams.topics import TOPICS


def write_json_lines(query: LogQuery, folder: Path) -> int:
    """Writes the view of each topic to `<view>.jsonl`. Returns: bytes."""
    size = 0
    for topic in TOPICS:
        path = folder / f"{view_name(topic)}.jsonl"
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            rows = query.connection().sql(f"FROM {view_name(topic)}").to_arrow_reader(2_000)
            connection.register("rows", rows)
            connection.execute(f"COPY rows TO {quoted(str(path))} (FORMAT json)")
        size += path.stat().st_size
    return size


class JsonLines(LogQuery):
    """Questions to the files of `write_json_lines`. Each column's type is told, so DuckDB need not guess."""

    def __init__(self, folder: Path, like: LogQuery) -> None:
        """Args: like: a log whose views have the columns."""
        super().__init__(None)
        self._folder = folder
        self._like = like

    def connection(self) -> duckdb.DuckDBPyConnection:
        """The database with all views; it reads the files whenever it is asked."""
        if self._connection is None:
            self._connection = duckdb.connect(":memory:")
            self._connection.execute(
                f"SET TimeZone = 'UTC'; SET temp_directory = {quoted(str(self._folder / 'spilt'))}"
            )
            self._connection.execute("CREATE SCHEMA log")
            for topic in TOPICS:
                self._connection.execute(self._relation(view_name(topic)))
            for statement in topic_views({view_name(topic): [f"log.{view_name(topic)}_lines"] for topic in TOPICS}):
                self._connection.execute(statement)
            for statement in ready_made_views(None, Manifest()):
                self._connection.execute(statement)
        return self._connection

    def _relation(self, view: str) -> str:
        described = self._like.sql(f"DESCRIBE {view}").rows
        columns = ", ".join(f'"{name}": {quoted(kind)}' for name, kind, *_ in described)
        file = quoted(str(self._folder / f"{view}.jsonl"))
        lines = f"read_json({file}, format = 'newline_delimited', columns = {{{columns}}})"
        own = 'NULL::VARCHAR AS error, true AS is_first, "time" AS record_time'
        return f"CREATE VIEW log.{view}_lines AS SELECT *, {own} FROM {lines}"
