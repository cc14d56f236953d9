"""`show_log`: what the log costs and how fast it answers, as tables or JSON."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.bench.log.history import Pattern
from infra.bench.log.questions import Answer, QuestionsTable, bench_questions
from infra.commands.log import open_log
from infra.settings import Settings
from infra.stack import Report

PARTS = ("questions",)


def show_log(
    settings: Settings,
    *,
    parts: tuple[str, ...],
    num_events: int,
    archive: Path | None,
    folder: Path | None,
    as_json: bool,
    report: Report,
) -> int:
    """Prints the measurements.

    Args:    parts: some of `PARTS`; none: all. archive: whose like is written, instead of this home's log; folder: for
             what is written; kept, and gone on with. None: a folder that is removed at the end.
    """
    with open_log(settings, archive) as log:
        pattern = Pattern.of(log.records())
    with _folder(folder) as place:
        tables: dict[str, QuestionsTable] = {}
        if _is_wanted("questions", parts):
            tables["questions"] = bench_questions(pattern, num_events, place, report)
    if as_json:
        click.echo(orjson.dumps({name: asdict(table) for name, table in tables.items()}, option=orjson.OPT_INDENT_2))
        return 0
    console = Console()
    for table in tables.values():
        _draw_questions(console, table)
    return 0


def _is_wanted(part: str, parts: tuple[str, ...]) -> bool:
    return not parts or part in parts


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="nextstate-bench-") as name:
        yield Path(name)


def _draw_questions(console: Console, table: QuestionsTable) -> None:
    title = f"{table.num_events:,} events, {table.num_turns:,} turns; seconds"
    grid = Table("", "archive", "JSON lines", "times faster", "rows", title=title)
    for answer in table.answers:
        grid.add_row(answer.name, f"{answer.archive_s:.2f}", *_beside(answer), f"{answer.num_rows:,}")
    grid.add_row("lineage of a checkpoint", f"{table.lineage_s:.2f}", "", "", f"{table.lineage_lines:,}")
    grid.add_row("opening the archive", f"{table.opening_s:.2f}", "", "", "")
    console.print(grid)
    size = table.archive_bytes / table.num_events
    other = table.json_bytes / table.num_events
    console.print(
        f"Bytes per event: {size:.0f} in the archive (the record as it was, its columns, and turns written ahead), "
        f"{other:.0f} as JSON lines: {other / size:.1f} times as many."
    )
    console.print("Events: " + ", ".join(f"{share:.0%} {topic}" for topic, share in table.mix.items()))


def _beside(answer: Answer) -> tuple[str, str]:
    return f"{answer.json_s:.1f}", f"{answer.json_s / answer.archive_s:.0f}"
