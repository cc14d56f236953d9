"""Pieces of SQL that everything about an archive's views is put together from."""

from collections.abc import Iterable
from pathlib import Path

VIEWS_DIR = Path(__file__).parent.parent / "views"


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def parquet(folder: Path, paths: Iterable[str]) -> str:
    """The rows of some files below a folder."""
    listed = ", ".join(quoted(str(folder / path)) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"


def ready_made(name: str) -> str:
    """The statements of a ready-made view."""
    return (VIEWS_DIR / f"{name}.sql").read_text()
