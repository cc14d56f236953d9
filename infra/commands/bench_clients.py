"""`bench clients`: runs real clients against a gateway of its own, and prints the table of clients and checks."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.bench.clients.checks import CHECKS
from infra.bench.clients.engine import Engine, ScriptedEngine
from infra.bench.clients.run import Row, bench_clients
from infra.bench.clients.sglang import relayed_sglang
from infra.connect.clients import CLIENTS, Check, client_named
from infra.home import Home
from infra.kafka.jars import fetch_jars
from infra.prepare import model_folder, runtime_home
from infra.settings import Settings

FAILED = 1
WIDTH = 120  # of a table that goes into a file
ON_SGLANG = ("openai", "anthropic")  # where no others are named: agents live on tools, which a small model seldom calls


def show_clients(
    settings: Settings, names: str | None, report: Callable[[str], None], *, on_sglang: bool, as_json: bool
) -> int:
    """Prints the table; 1 where a check fails. A client that cannot be run fails none.

    Args:    names: of the clients, with commas; on_sglang: the small model draws, not the script.
    """
    usual = tuple(map(client_named, ON_SGLANG)) if on_sglang else CLIENTS
    clients = usual if names is None else tuple(client_named(name.strip()) for name in names.split(","))
    folder = Home(settings.home).clients
    shutil.rmtree(folder / "run", ignore_errors=True)
    jars, model_path = fetch_jars(runtime_home(settings).jars, report), model_folder(settings, report)
    engine = _engine(settings, model_path, folder / "run" / "engine.log", on_sglang=on_sglang)
    rows = bench_clients(clients, jars=jars, engine=engine, model_path=model_path, folder=folder, report=report)
    if as_json:
        click.echo(orjson.dumps([asdict(row) for row in rows], option=orjson.OPT_INDENT_2).decode())
    else:
        _draw(rows)
    return FAILED if any(not row.is_well and not row.missing for row in rows) else 0


def _engine(settings: Settings, model_path: Path, log_file: Path, *, on_sglang: bool) -> AbstractContextManager[Engine]:
    if on_sglang:
        config = settings.engine.model_copy(update={"api_key": None, "admin_api_key": None})  # nobody else reaches it
        return relayed_sglang(config, model_path, log_file)
    return nullcontext(ScriptedEngine.of(model_path))


def _draw(rows: Sequence[Row]) -> None:
    grid = Table("client", *CHECKS, "matched", "s")
    notes = []
    for row in rows:
        if row.missing:
            grid.add_row(row.client, *[""] * len(CHECKS))
            notes.append(f"{row.client} was not run: {row.missing}")
            continue
        grid.add_row(
            row.client,
            *(_cell(row, name) for name in CHECKS),
            f"{row.num_matched} of {row.num_continuing}",
            f"{row.seconds:.0f}",
        )
        notes += [f"{row.client}, {name}: {reason}." for name, reason in row.wrong.items() if reason]
        notes += [f"{row.client} is not asked about {name}: {reason}." for name, reason in row.not_asked.items()]
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(grid)
    for note in notes:
        console.print(note, highlight=False)
    num_matched, num_continuing = sum(row.num_matched for row in rows), sum(row.num_continuing for row in rows)
    console.print(f"{num_matched} of {num_continuing} continuing requests were matched without a doubt.")


def _cell(row: Row, name: Check) -> str:
    if name in row.not_asked:
        return "not asked"
    return "NO" if row.wrong.get(name) else "yes"
