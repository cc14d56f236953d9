"""`show_log`: what the log costs and how fast it answers, as tables or JSON."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.bench.log.archiving import ArchivingTable, bench_archiving
from infra.bench.log.growth import Growth, GrowthTable, bench_growth
from infra.bench.log.history import Pattern
from infra.bench.log.questions import QuestionsTable, bench_questions
from infra.bench.log.replaying import ReplayingTable, bench_replaying
from infra.commands.log import open_log
from infra.kafka.jars import fetch_jars
from infra.prepare import model_folder, runtime_home
from infra.settings import Settings
from infra.stack import Report
from serving.rendering import ChatRenderer
from streams.recorded import Recorded

ARCHIVED = 200_000  # records that the archiver and the consumer read
REPLAYED = 2_000  # turns


def show_log(
    settings: Settings,
    *,
    parts: Sequence[str],
    num_events: int,
    archive: Path | None,
    folder: Path | None,
    as_json: bool,
    report: Report,
) -> int:
    """Prints the measurements.

    Args:    parts: which; num_events: that are asked about; archive: whose like is written, instead of this home's log;
             folder: for what is written: kept, and gone on with. None: one that is removed at the end.
    """
    with open_log(settings, archive) as log:
        records = list(log.records())
    pattern = Pattern.of(records)
    with tempfile.TemporaryDirectory(prefix="nextstate-bench-") as name:
        place = Path(name)
        measures: dict[str, Callable[[], QuestionsTable | ArchivingTable | GrowthTable | ReplayingTable]] = {
            "questions": lambda: bench_questions(pattern, num_events, folder or place / "questions", report),
            "archiving": lambda: bench_archiving(
                pattern, ARCHIVED, _jars(settings, report), _made(place / "archiving"), report
            ),
            "growth": lambda: bench_growth(ChatRenderer(model_folder(settings, report)), report),
            "replay": lambda: _replaying(settings, records, _made(place / "replay"), report),
        }
        tables = {part: measures[part]() for part in parts}
    if as_json:
        click.echo(orjson.dumps({part: asdict(table) for part, table in tables.items()}, option=orjson.OPT_INDENT_2))
        return 0
    console = Console()
    for table in tables.values():
        _draw(console, table)
    return 0


def _replaying(settings: Settings, records: Sequence[Recorded], folder: Path, report: Report) -> ReplayingTable:
    model = settings.engine.model_copy(update={"model_path": str(model_folder(settings, report))})
    settings = settings.model_copy(update={"engine": model})
    jars = _jars(settings, report)
    return bench_replaying(records, REPLAYED, settings, jars=jars, folder=folder, report=report)


def _jars(settings: Settings, report: Report) -> tuple[Path, ...]:
    return fetch_jars(runtime_home(settings).jars, report)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _draw(console: Console, table: QuestionsTable | ArchivingTable | GrowthTable | ReplayingTable) -> None:
    match table:
        case QuestionsTable():
            _draw_questions(console, table)
        case ArchivingTable():
            _draw_archiving(console, table)
        case GrowthTable():
            _draw_growth(console, table)
        case ReplayingTable():
            _draw_replaying(console, table)


def _draw_questions(console: Console, table: QuestionsTable) -> None:
    title = f"{table.num_events:,} events, {table.num_turns:,} turns; seconds"
    grid = Table("", "archive", "JSON lines", "times faster", "rows", title=title)
    for answer in table.answers:
        speed = f"{answer.json_s / answer.archive_s:.0f}"
        grid.add_row(answer.name, f"{answer.archive_s:.2f}", f"{answer.json_s:.1f}", speed, f"{answer.num_rows:,}")
    grid.add_row("lineage of a checkpoint", f"{table.lineage_s:.2f}", "", "", f"{table.lineage_lines:,}")
    grid.add_row("opening the archive", f"{table.opening_s:.2f}", "", "", "")
    console.print(grid)
    size, other = table.archive_bytes / table.num_events, table.json_bytes / table.num_events
    console.print(
        f"Bytes per event: {size:.0f} in the archive (the record as it was, its columns, and turns written ahead), "
        f"{other:.0f} as JSON lines: {other / size:.1f} times as many."
    )
    console.print("Events: " + ", ".join(f"{share:.0%} {topic}" for topic, share in table.mix.items()))


def _draw_archiving(console: Console, table: ArchivingTable) -> None:
    grid = Table("", "records/s", "MiB/s", "speed", title=f"{table.num_records:,} records from Kafka")
    for name, rate, ratio in (
        ("a consumer that counts", table.consumer, 1.0),
        ("the archiver", table.archiver, table.ratio),
    ):
        grid.add_row(name, f"{rate.records_per_s:,.0f}", f"{rate.mib_per_s:.0f}", f"{ratio:.2f}x")
    console.print(grid)


def _draw_growth(console: Console, table: GrowthTable) -> None:
    last = f"turn {table.num_turns}"
    title = "Bytes of actions, next states and transitions per turn"
    grid = Table("system prompt", "", "turn 1", last, "ratio", "last to first ten turns", title=title)
    for growth in (table.short_prompt, table.changing_prompt):
        grid.add_row(f"{growth.name} ({growth.system_prompt_bytes:,} bytes)", "the log", *_growth_cells(growth))
        whole = growth.whole_prompt_bytes
        grid.add_row("", "whole prompts", f"{whole[0]:,}", f"{whole[-1]:,}", f"{growth.whole_last_to_first:.1f}", "")
    console.print(grid)


def _growth_cells(growth: Growth) -> Iterator[str]:
    yield from (f"{growth.log_bytes[0]:,}", f"{growth.log_bytes[-1]:,}")
    yield from (f"{growth.last_to_first:.1f}", f"{growth.last_to_first_ten:.1f}")


def _draw_replaying(console: Console, table: ReplayingTable) -> None:
    grid = Table("", "turns/s", "speed", title=f"{table.num_turns:,} turns")
    grid.add_row("live processors, judgements for nothing", f"{table.live_turns_per_s:.0f}", "1.00x")
    grid.add_row("replay, compared byte for byte", f"{table.replay_turns_per_s:.0f}", f"{table.ratio:.2f}x")
    console.print(grid)
    console.print("Identical." if table.is_identical else "Not identical: nextstate replay lists what differs.")
