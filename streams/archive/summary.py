"""`summarise`: writes the rows of the view `turns` ahead (turns.py says why and how they are read).

Consumes an archive, produces files below `summary/day=D/`, by the day of the action, and the `Summary` that names them.
Only the days of actions that have changed are written again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from streams.archive.manifest import PARTIAL, Manifest, Summary, SummaryFile, make_safe
from streams.archive.sql import parquet, quoted
from streams.archive.turns import made_by, summary_of
from streams.archive.views import views_script

FOLDER = "summary"
_MEMORY = "1GiB"  # what does not fit lies beside the archive meanwhile
_ROW_GROUP_ROWS = 20_000
_DAY = "strftime(time, '%Y-%m-%d')"


def summarise(folder: Path, manifest: Manifest, name: str, progress: Callable[[], None]) -> Summary:
    """The summary of all that is archived, from the one that there was; its files are safe on disk.

    Args:    folder: absolute; name: no other file of the archive has it; progress: called after each day.
    Raises:  duckdb.Error: a file is gone or damaged, or the disk is full; OSError: the disk is full or gone.
    """
    before = summary_of(manifest)
    files = {file.day: file for file in before.files} if before else {}
    is_first = not files
    with _opened(folder, manifest) as connection:
        new = "actions" if is_first else "log.turns_since"
        written: list[SummaryFile] = []
        try:
            for (day,) in connection.sql(f"SELECT DISTINCT {_DAY} AS day FROM {new} ORDER BY day").fetchall():
                rows = _joined(connection, day) if is_first else _updated(folder, day, files.get(day))
                files[day] = _write_day(connection, rows, folder, day, name)
                written.append(files[day])
                progress()
        except BaseException:  # no manifest will ever name them, and they hold words
            for file in written:
                (folder / file.path).unlink(missing_ok=True)
            raise
    return Summary(made_by=made_by(), files=tuple(files[day] for day in sorted(files)), positions=manifest.positions)


def _joined(connection: duckdb.DuckDBPyConnection, day: str) -> str:
    """A day at a time: all turns of a long log do not fit into memory."""
    connection.execute(f"SET VARIABLE today = (SELECT list(event_id) FROM actions WHERE {_DAY} = {quoted(day)})")
    return "FROM turns_of(getvariable('today'))"


def _updated(folder: Path, day: str, before: SummaryFile | None) -> str:
    new = f"FROM log.turns_since WHERE {_DAY} = {quoted(day)}"
    if before is None:
        return new
    old = f"FROM {parquet(folder, [before.path])} WHERE action_id NOT IN (SELECT action_id FROM log.turns_since)"
    return f"({old}) UNION ALL ({new})"


def _write_day(connection: duckdb.DuckDBPyConnection, rows: str, folder: Path, day: str, name: str) -> SummaryFile:
    path = Path(FOLDER) / f"day={day}" / f"{name}.parquet"
    whole = folder / path
    whole.parent.mkdir(parents=True, exist_ok=True)
    partial = whole.with_name(whole.name + PARTIAL)
    try:
        connection.execute(
            f"COPY (SELECT * FROM ({rows}) ORDER BY time, action_id) TO {quoted(str(partial))} "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP_ROWS})"
        )
        make_safe(partial, whole)
    finally:
        partial.unlink(missing_ok=True)
    return SummaryFile(path=str(path), day=day, rows=pq.read_metadata(whole).num_rows)


@contextmanager
def _opened(folder: Path, manifest: Manifest) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        connection.execute(f"SET temp_directory = {quoted(str(folder / 'sorting'))}")
        connection.execute(views_script(folder, manifest))
        yield connection
