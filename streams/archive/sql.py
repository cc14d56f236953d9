"""Pieces of SQL that everything about an archive's views is put together from."""

from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa

VIEWS_DIR = Path(__file__).parent.parent / "views"


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def parquet(folder: Path, paths: Iterable[str]) -> str:
    """The rows of some files below a folder.

    By name, also where all have the same columns: only so DuckDB (2.0) knows all files' statistics when it plans, which
    made joins over a hundred files six times as fast.
    """
    listed = ", ".join(quoted(str(folder / path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def add_table(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """A table of DuckDB's own with these rows."""
    connection.register("new_table", table)
    connection.execute(f"CREATE TABLE {name} AS FROM new_table")
    connection.unregister("new_table")


def ready_made(name: str) -> str:
    """The statements of a ready-made view."""
    return (VIEWS_DIR / f"{name}.sql").read_text()
