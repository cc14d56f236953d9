"""`show_recorder`: what it costs an agent to tell of its turns, and us to hear of them, as tables or JSON."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.bench.percentiles import Percentiles
from infra.bench.recorder.figures import Burst
from infra.bench.recorder.hearing import HearingTable
from infra.bench.recorder.job import Place, Plan, RecorderTable, bench_recorder
from infra.bench.recorder.receivers import check_collector
from infra.bench.recorder.telling import TellingTable
from infra.home import Home
from infra.kafka.jars import fetch_jars
from infra.prepare import model_folder, runtime_home
from infra.settings import Settings
from infra.stack import Report

_WIDTH_IN_A_FILE = 132
_MIB = 2**20


def show_recorder(settings: Settings, plan: Plan, *, as_json: bool, report: Report) -> int:
    """Prints the measurements."""
    if plan.collector is not None:
        check_collector(plan.collector)
    model = settings.engine.model_copy(update={"model_path": str(model_folder(settings, report))})
    settings = settings.model_copy(update={"engine": model})
    jars = fetch_jars(runtime_home(settings).jars, report)
    with tempfile.TemporaryDirectory(prefix="nextstate-bench-") as folder:
        place = Place(jars=jars, clients=Home(settings.home).clients, folder=Path(folder))
        table = bench_recorder(settings, plan, place, report)
    if as_json:
        click.echo(orjson.dumps(asdict(table), option=orjson.OPT_INDENT_2))
        return 0
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_IN_A_FILE)
    for grid in _grids(table):
        console.print(grid)
    for note in table.notes:
        console.print(note)
    return 0


def _grids(table: RecorderTable) -> Iterator[Table]:
    if table.telling is not None:
        yield _calls(table.telling, table.num_cores)
        yield _outflows(table.telling)
        yield _bursts(table.telling)
    if table.hearing is not None:
        yield _hearing(table.hearing)


def _calls(told: TellingTable, num_cores: int) -> Table:
    title = f"What a call adds to the program, microseconds: p50 / p99; a call every {1000 * told.pace_s:g} ms"
    grid = Table("", "call", "calls", "adds", "to the SDK's", title=f"{title}; {num_cores} cores")
    for costs in told.costs:
        for call in costs.calls:
            grid.add_row(costs.way, call.kind, f"{call.num_calls:,}", _pair(call.added_us, 1), _pair(call.ratio, 2))
        grid.add_row(
            costs.way,
            "processor time of the whole program, a call",
            "",
            f"{costs.processor_us:,.0f}",
            _number(costs.processor_ratio, 2),
        )
        grid.add_section()
    return grid


def _outflows(told: TellingTable) -> Table:
    columns = ("system prompt", "", "turns/s", "to the SDK's", "processor time a turn, microseconds")
    grid = Table(*columns, title="How fast turns get out of a program that tells no more than do")
    for flow in told.outflows:
        speed = f"{flow.turns_per_s:,.0f}"
        grid.add_row(flow.prompt, flow.way, speed, _number(flow.ratio, 2), f"{flow.processor_us:,.0f}")
    return grid


def _bursts(told: TellingTable) -> Table:
    columns = ("", "told at once", "told/s", "got out", "dropped", "memory grew by, MiB")
    grid = Table(*columns, title="What becomes of more than can get out")
    for burst in told.bursts:
        cells = (f"{burst.num_turns:,}", f"{burst.told_per_s:,.0f}", f"{burst.num_out:,}", _dropped(burst))
        grid.add_row(burst.way, *cells, f"{burst.grown_bytes / _MIB:,.0f}")
    return grid


def _dropped(burst: Burst) -> str:
    return f"{burst.num_dropped:,}, {'counted' if burst.is_drop_counted else 'not counted'}"


def _hearing(heard: HearingTable) -> Table:
    columns = ("system prompt", "a batch", "", "spans/s", "MiB/s", "answers after, ms: p50 / p99")
    title = f"OTLP over HTTP, protobuf, {heard.num_senders} batches at a time; the collector with its debug exporter"
    grid = Table(*columns, "processor s per 1,000", "its Kafka's", "gateway to it", title=title)
    for case in heard.cases:
        for taken in case.taken:
            grid.add_row(
                case.prompt,
                f"{case.spans_per_batch}, {case.mib_per_batch:.1f} MiB",
                taken.receiver,
                f"{taken.spans_per_s:,.0f}",
                f"{taken.mib_per_s:.1f}",
                _pair(taken.answer_ms, 0),
                f"{taken.cpu_s_per_1000:.2f}",
                f"{taken.kafka_cpu_s_per_1000:.2f}",
                f"{taken.speed:.2f}",
            )
        grid.add_section()
    return grid


def _pair(percentiles: Percentiles | None, digits: int) -> str:
    if percentiles is None:
        return ""
    return f"{_number(percentiles.p50, digits)} / {_number(percentiles.p99, digits)}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
