"""`nextstate import`: its options. The work is in infra/commands/imports.py; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.cli_options import configured, report

if TYPE_CHECKING:
    from infra.settings import Settings


@click.command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["auto", "openai", "sharegpt", "openclaw"]),
    default="auto",
    show_default=True,
    help="What every file must be.",
)
@click.option("--policy", help="Whom they teach.  [default: the stack's policy]")
@click.option("--tenant", default="default", show_default=True, help="Whose they are.")
@click.option("--subject", help="Whom they are about, for erasure.  [default: as the file says]")
@click.option(
    "--source",
    type=click.Choice(["chat", "tool", "terminal", "gui", "swe"]),
    help="What the next states are.  [default: tool after a tool call, else chat]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def import_chats(settings: Settings, *, files: tuple[Path, ...], kind: Any, as_json: bool, **whose: Any) -> int:
    """Bring in old conversations: OpenAI messages, ShareGPT, OpenClaw's sessions. The same twice adds nothing.

    Exits 1 if a line was rejected; the others are imported.
    """
    from infra.commands.imports import Wanted, import_all

    wanted = Wanted(kind=None if kind == "auto" else kind, **whose)
    return import_all(settings, files, wanted, report, as_json=as_json)
