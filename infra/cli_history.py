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


@click.command()
@click.option("--as", "run", required=True, metavar="RUN", help="A new name for this judging.")
@click.option(
    "--judge",
    type=click.Choice(["settings", "reaction", "llm"]),
    default="settings",
    show_default=True,
    help="Who judges; its model and url come from the settings.",
)
@click.option(
    "--hints",
    type=click.Choice(["settings", "verbatim", "llm"]),
    default="settings",
    show_default=True,
    help="Who writes hints.",
)
@click.option("--json", "print_json", is_flag=True, help="Print JSON.")
@sliced
@configured
def rejudge(settings: Settings, selection: Selection, *, run: str, judge: str, hints: str, print_json: bool) -> int:
    """Let another judge read recorded history, beside the old verdicts, and print how they agree."""
    from infra.commands.rejudge import show_rejudge

    return show_rejudge(settings, selection, run=run, judge=judge, hints=hints, print_json=print_json, report=report)


@click.command()
@click.option("--from", "run", required=True, metavar="RUN", help="The name of a judging (rejudge --as).")
@click.option("--json", "print_json", is_flag=True, help="Print JSON.")
@configured
def train(settings: Settings, *, run: str, print_json: bool) -> int:
    """Train a new policy, from the base model on, with history judged again. Continues where it was cut off."""
    from infra.commands.train import show_train

    return show_train(settings, run=run, print_json=print_json, report=report)


HISTORY = (replay, rejudge, train)
