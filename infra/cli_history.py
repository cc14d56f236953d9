"""`HISTORY`: the commands that work on what was recorded. Parsing only, as in infra/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli_options import configured, report, sliced

if TYPE_CHECKING:
    from infra.replay.slice import Selection
    from infra.settings import Settings


@click.command()
@click.option(
    "--judge",
    type=click.Choice(["recorded", "fresh"]),
    default="recorded",
    show_default=True,
    help="Judge as was recorded, or ask the settings' judge and hint extractor again.",
)
@click.option("--json", "print_json", is_flag=True, help="Print JSON, with every difference.")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for the replayed records, as Parquet files.")
@sliced
@configured
def replay(settings: Settings, selection: Selection, *, judge: str, print_json: bool, out: Path | None) -> int:
    """Derive history again with today's processors, and compare. Exits 1 if recorded judgements lead elsewhere now."""
    from infra.commands.replay import show_replay

    return show_replay(settings, selection, is_fresh=judge == "fresh", print_json=print_json, out=out, report=report)


HISTORY = (replay,)
