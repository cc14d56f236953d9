"""`lineage`: the tree between a checkpoint and the words that taught it."""

from pathlib import Path

import click
import orjson

from infra.commands.log import open_log
from infra.settings import Settings
from streams.lineage import find, render_tree


def show_lineage(settings: Settings, identity: str, archive: Path | None, *, as_json: bool) -> int:
    """Prints the tree above or below an id."""
    with open_log(settings, archive) as log:
        node = find(log.query(), identity)
    click.echo(orjson.dumps(node, option=orjson.OPT_INDENT_2).decode() if as_json else render_tree(node))
    return 0
