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
    with _opened(folder, manifest) as connection:
        if before is None or not before.files:  # nothing is known of any action
            connection.execute("SET VARIABLE touched = (SELECT list(event_id) FROM actions)")
        connection.execute(
            f"CREATE TABLE touched AS SELECT event_id, {_DAY} AS day FROM actions WHERE event_id IN "
            "(SELECT unnest(getvariable('touched')))"
        )
        for (day,) in connection.sql("SELECT DISTINCT day FROM touched ORDER BY day").fetchall():
            files[day] = _write_day(connection, folder, day, files.get(day), name)
            progress()
    return Summary(made_by=made_by(), files=tuple(files[day] for day in sorted(files)), positions=manifest.positions)


def _write_day(
    connection: duckdb.DuckDBPyConnection, folder: Path, day: str, before: SummaryFile | None, name: str
) -> SummaryFile:
    connection.execute(f"SET VARIABLE today = (SELECT list(event_id) FROM touched WHERE day = {quoted(day)})")
    rows = "FROM turns_of(getvariable('today'))"
    if before is not None:
        unchanged = (
            f"FROM {parquet(folder, [before.path])} WHERE action_id NOT IN (SELECT unnest(getvariable('today')))"
        )
        rows = f"({unchanged}) UNION ALL ({rows})"
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
