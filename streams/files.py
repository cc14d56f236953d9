"""`write_table`: a table as CSV, JSON lines or Parquet."""

from pathlib import Path

import duckdb
import pyarrow as pa

FORMATS = {".csv": "FORMAT csv, HEADER", ".jsonl": "FORMAT json", ".parquet": "FORMAT parquet, COMPRESSION zstd"}


def write_table(table: pa.Table, file: Path) -> None:
    """Writes a table. Args: file: its suffix, one of `FORMATS`, says how; it is replaced as a whole."""
    partial = file.with_name(file.name + ".partial")
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("answer", table)
    target = str(partial).replace("'", "''")
    connection.execute(f"COPY answer TO '{target}' ({FORMATS[file.suffix]})")
    partial.replace(file)
