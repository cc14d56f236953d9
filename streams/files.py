"""`write_table`: a table as CSV, JSON lines or Parquet."""

from pathlib import Path

import duckdb
import pyarrow as pa

from schemas.errors import RejectedError
from streams.archive.sql import quoted

FORMATS = {".csv": "FORMAT csv, HEADER", ".jsonl": "FORMAT json", ".parquet": "FORMAT parquet, COMPRESSION zstd"}


def write_table(table: pa.Table, file: Path) -> None:
    """Writes a table. Args: file: its suffix, one of `FORMATS`, says how; it is replaced as a whole.

    Raises:  RejectedError: it cannot be written.
    """
    partial = file.with_name(file.name + ".partial")
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("answer", table)
    try:
        connection.execute(f"COPY answer TO {quoted(str(partial))} ({FORMATS[file.suffix]})")
        partial.replace(file)
    except (duckdb.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        message = f"{file} cannot be written ({' '.join(str(error).split())}): make room, or name another place."
        raise RejectedError(message) from error
