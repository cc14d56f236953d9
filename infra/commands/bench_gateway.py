"""`show_gateway`: what the gateway adds to an engine's answers, and what OpenClaw-RL's proxy adds: tables or JSON."""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.bench.gateway.figures import Case, Figures
from infra.bench.gateway.job import GatewayTable, Plan, bench_gateway
from infra.bench.gateway.sides import Reference
from infra.bench.percentiles import Percentiles
from infra.kafka.jars import fetch_jars
from infra.prepare import model_folder, runtime_home
from infra.settings import Settings
from infra.stack import Report

_WIDTH_IN_A_FILE = 132


def show_gateway(settings: Settings, plan: Plan, reference: Reference | None, *, as_json: bool, report: Report) -> int:
    """Prints the measurements."""
    if reference is not None:
        reference.check()
    model = settings.engine.model_copy(update={"model_path": str(model_folder(settings, report))})
    settings = settings.model_copy(update={"engine": model})
    jars = fetch_jars(runtime_home(settings).jars, report)
    with tempfile.TemporaryDirectory(prefix="nextstate-bench-") as folder:
        table = bench_gateway(settings, plan, reference, jars=jars, folder=Path(folder), report=report)
    if as_json:
        click.echo(orjson.dumps(asdict(table), option=orjson.OPT_INDENT_2))
        return 0
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_IN_A_FILE)
    console.print(_latency(table))
    console.print(_processor_time(table))
    for note in table.notes:
        console.print(note)
    return 0


def _latency(table: GatewayTable) -> Table:
    title = f"Milliseconds: p50 / p99 over {table.num_turns}-turn conversations, {table.num_cores} cores"
    columns = ("system prompt", "tokens", "streams", "until", "requests", "engine", "gateway adds")
    grid = Table(*columns, "OpenClaw-RL adds", "ratio", title=title)
    for case in table.cases:
        for cells in _latency_rows(case):
            grid.add_row(*cells)
    return grid


def _latency_rows(case: Case) -> Iterator[tuple[str, ...]]:
    head = (case.prompt, f"{case.prompt_tokens:,}", str(case.num_streams))
    requests = f"{case.gateway.num_requests:,}"
    theirs, ratios = case.reference, case.ratios
    if case.is_streaming:
        yield (
            *head,
            "first words",
            requests,
            _pair(case.engine.first_token_ms),
            _pair(case.gateway.added_first_token_ms),
            _pair(theirs.added_first_token_ms if theirs else None),
            _pair(ratios.first_token if ratios else None, digits=2),
        )
    yield (
        *head,
        "end, streamed" if case.is_streaming else "end, in one piece",
        requests,
        _pair(case.engine.whole_ms),
        _pair(case.gateway.added_whole_ms),
        _pair(theirs.added_whole_ms if theirs else None),
        _pair(ratios.whole if ratios else None, digits=2),
    )


def _processor_time(table: GatewayTable) -> Table:
    columns = ("system prompt", "streams", "streaming", "gateway", "its Kafka", "OpenClaw-RL", "ratio", "busy cores")
    grid = Table(*columns, title="Seconds of processor time per 1,000 requests")
    for case in table.cases:
        sides = [case.engine, case.gateway, *([case.reference] if case.reference else [])]
        grid.add_row(
            case.prompt,
            str(case.num_streams),
            "yes" if case.is_streaming else "no",
            _seconds(case.gateway),
            f"{case.gateway.kafka_cpu_s_per_1000:.2f}",
            _seconds(case.reference),
            _number(case.ratios.cpu, 2) if case.ratios else "",
            " / ".join(f"{side.busy_cores:.1f}" for side in sides),
        )
    grid.caption = (
        "Busy cores: of the whole machine, while each side was asked: the engine straight, and then as named."
    )
    return grid


def _seconds(figures: Figures | None) -> str:
    return "" if figures is None else f"{figures.cpu_s_per_1000:.2f}"


def _pair(percentiles: Percentiles | None, digits: int = 1) -> str:
    if percentiles is None:
        return ""
    return f"{_number(percentiles.p50, digits)} / {_number(percentiles.p99, digits)}"


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits if abs(value) < 100 else 0}f}"
