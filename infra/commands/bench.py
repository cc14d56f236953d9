"""`bench`: runs a benchmark and prints its table."""

import asyncio
from dataclasses import asdict

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.bench.serve import ServeTable, bench_serve
from infra.handover import take_over
from infra.home import Home
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
        click.echo(orjson.dumps(asdict(table), option=orjson.OPT_INDENT_2).decode())
    else:
        _draw(table)
    return 0


def _draw(table: ServeTable) -> None:
    title = f"{table.rounds} answers of {table.max_tokens} tokens from each side, in turns; milliseconds"
    grid = Table("", "first token, median", "first token, 95%", "whole answer, median", title=title)
    for name, side in (("through the gateway", table.gateway), ("SGLang directly", table.engine)):
        values = (side.first_token_ms, side.first_token_p95_ms, side.whole_answer_ms)
        grid.add_row(name, *(f"{value:.1f}" for value in values))
    grid.add_row("ratio", f"{table.first_token_ratio:.3f}", "", f"{table.whole_answer_ratio:.3f}")
    console = Console()
    console.print(grid)
    console.print(f"The gateway adds {table.added_ms:.1f} ms to the first token (median of the rounds).")
