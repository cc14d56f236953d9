"""`bench clients`: runs real clients against a gateway of its own, and prints the table of clients and checks."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.bench.clients.checks import CHECKS
from infra.bench.clients.run import Row, bench_clients
from infra.connect.clients import CLIENTS, Check, client_named
from infra.home import Home
from infra.kafka.jars import fetch_jars
from infra.prepare import model_folder, runtime_home
from infra.settings import Settings

FAILED = 1
WIDTH = 120  # of a table that goes into a file


def show_clients(settings: Settings, names: str | None, report: Callable[[str], None], *, as_json: bool) -> int:
    """Prints the table; 1 where a check fails. A client that cannot be run fails none."""
    clients = CLIENTS if names is None else tuple(client_named(name.strip()) for name in names.split(","))
    folder = Home(settings.home).clients
    shutil.rmtree(folder / "run", ignore_errors=True)
    jars = fetch_jars(runtime_home(settings).jars, report)
    rows = bench_clients(clients, jars, model_folder(settings, report), folder, report)
    if as_json:
        click.echo(orjson.dumps([asdict(row) for row in rows], option=orjson.OPT_INDENT_2).decode())
    else:
        _draw(rows)
    return FAILED if any(not row.is_well and not row.missing for row in rows) else 0


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
        notes += [f"{row.client} has no {name}: {reason}." for name, reason in row.lacks.items()]
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(grid)
    for note in notes:
        console.print(note, highlight=False)
    num_matched, num_continuing = sum(row.num_matched for row in rows), sum(row.num_continuing for row in rows)
    console.print(f"{num_matched} of {num_continuing} continuing requests were matched without a doubt.")


def _cell(row: Row, name: Check) -> str:
    if name in row.lacks:
        return "-"
    return "NO" if row.wrong.get(name) else "yes"
