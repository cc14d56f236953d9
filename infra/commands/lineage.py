"""`lineage`: the tree between a checkpoint and the words that taught it."""

from contextlib import suppress
from pathlib import Path

import click
import orjson

from infra.commands.log import Log, open_log
from infra.settings import Settings
from streams.lineage import LineageNode, UnknownIdError, find, render_tree


def show_lineage(settings: Settings, identity: str, archive: Path | None, *, as_json: bool) -> int:
    """Prints the tree above or below an id."""
    with open_log(settings, archive) as log:
        node = _find(log, identity)
    click.echo(orjson.dumps(node, option=orjson.OPT_INDENT_2).decode() if as_json else render_tree(node))
    return 0


def _find(log: Log, identity: str) -> LineageNode:
    """In the log, or else in what a run derived from it (`nextstate rejudge`), where policies of their own learn."""
    try:
        return find(log.query(), identity)
    except UnknownIdError:
        for run in log.runs():
            with suppress(UnknownIdError):
                return find(log.branch(run).query(), identity)
        raise
