"""`lineage`: what lies between a checkpoint and the words that taught it; as a tree, as JSON, or as a drawing."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click
import orjson

from infra.commands.log import Log, open_log
from infra.settings import Settings
from schemas.errors import RejectedError
from streams.lineage import LineageNode, UnknownIdError, find, render_tree
from streams.lineage_drawing import MERMAID_MAX_CHARS, MERMAID_MAX_EDGES, exceeds_mermaid, render_dot, render_mermaid


def show_lineage(settings: Settings, identity: str, archive: Path | None, forms: Sequence[str]) -> int:
    """Prints what is above or below an id. Args: forms: at most one of "json", "mermaid", "dot"; none: a tree."""
    if len(set(forms)) > 1:
        raise RejectedError(
            f"A lineage is printed in one form: give one of {', '.join(f'--{form}' for form in forms)}."
        )
    with open_log(settings, archive) as log:
        node = _find(log, identity)
    printed = _printed(node, *forms[:1])
    click.echo(printed)
    if "mermaid" in forms and exceeds_mermaid(printed):
        limits = f"{MERMAID_MAX_EDGES} arrows, {MERMAID_MAX_CHARS:,} characters"
        advice = "use --dot, or ask for a batch or sample of it"
        click.echo(f"Mermaid draws this only on a page that raises the usual limits ({limits}): {advice}.", err=True)
    return 0


def _printed(node: LineageNode, form: str = "tree") -> str:
    match form:
        case "json":
            return orjson.dumps(node, option=orjson.OPT_INDENT_2).decode()
        case "mermaid":
            return render_mermaid(node)
        case "dot":
            return render_dot(node)
        case _:
            return render_tree(node)


def _find(log: Log, identity: str) -> LineageNode:
    """In the log, or else in what a run derived from it (`nextstate rejudge`), where policies of their own learn."""
    try:
        return find(log.query(), identity)
    except UnknownIdError:
        for run in log.runs():
            with suppress(UnknownIdError):
                return find(log.branch(run).query(), identity)
        raise
