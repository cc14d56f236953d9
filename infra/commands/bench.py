"""`bench`: runs a benchmark and prints its table."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.bench.serve import ServeTable, bench_serve
from infra.bench.train import TrainTable, bench_train
from infra.handover import take_over
from infra.home import Home
from infra.model import prepare_small_model
from infra.prepare import runtime_home
from infra.run_file import RunFile
from infra.settings import Settings
from schemas.errors import FatalError


def show_serve(settings: Settings, *, rounds: int, max_tokens: int, as_json: bool) -> int:
    """Prints what the gateway adds to SGLang's own answer times."""
    home = Home(settings.home)
    state = RunFile(home).read()
    if state is None:
        raise FatalError(f"No stack runs in {settings.home}: start one with nextstate up.")
    table = asyncio.run(bench_serve(take_over(home.settings_file), state, rounds=rounds, max_tokens=max_tokens))
    if as_json:
        _print_json(table)
    else:
        _draw_serve(table)
    return 0


def show_train(settings: Settings, report: Callable[[str], None], *, as_json: bool) -> int:
    """Prints what an optimizer step costs with shared prefixes, without, and with TRL."""
    model_path = settings.engine.model_path or prepare_small_model(runtime_home(settings).models, report)
    table = bench_train(Path(model_path), settings.trainer, report)
    if as_json:
        _print_json(table)
    else:
        _draw_train(table)
    return 0


def _print_json(table: ServeTable | TrainTable) -> None:
    click.echo(orjson.dumps(asdict(table), option=orjson.OPT_INDENT_2).decode())


def _draw_serve(table: ServeTable) -> None:
    title = f"{table.rounds} answers of {table.max_tokens} tokens from each side, in turns; milliseconds"
    grid = Table("", "first token, median", "first token, 95%", "whole answer, median", title=title)
    for name, side in (("through the gateway", table.gateway), ("SGLang directly", table.engine)):
        values = (side.first_token_ms, side.first_token_p95_ms, side.whole_answer_ms)
        grid.add_row(name, *(f"{value:.1f}" for value in values))
    grid.add_row("ratio", f"{table.first_token_ratio:.3f}", "", f"{table.whole_answer_ratio:.3f}")
    console = Console()
    console.print(grid)
    console.print(f"The gateway adds {table.added_ms:.1f} ms to the first token (median of the rounds).")


def _draw_train(table: TrainTable) -> None:
    title = (
        f"One step on a conversation of {table.num_turns} turns, {table.num_tokens:,} tokens "
        f"({table.num_response_tokens} answered; the last turn holds {table.longest_turn_tokens}), processor time"
    )
    columns = ("method", "", "seconds", "tokens/s", "speed", "peak memory", "loss", "gradient differs by")
    grid = Table(*columns, title=title)
    for row in table.rows:
        numbers = (f"{row.seconds:.1f}", f"{row.tokens_per_s:.0f}", f"{row.speedup:.2f}x")
        memory = f"{row.peak_bytes / 2**30:.2f} GiB"
        grid.add_row(row.method, row.way, *numbers, memory, f"{row.loss:.6f}", f"{row.difference:.1e}")
    console = Console()
    console.print(grid)
    if table.note:
        console.print(table.note)
