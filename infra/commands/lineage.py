"""`lineage`: the tree between a checkpoint and the words that taught it."""

from contextlib import suppress

import click
import orjson

from infra.commands.log import open_log
from infra.settings import Settings
from streams.branches import branch_of, branches
from streams.config import KafkaConfig
from streams.lineage import LineageNode, UnknownIdError, find, render_tree
from streams.query import LogQuery


def show_lineage(settings: Settings, identity: str, as_json: bool) -> int:
    """Prints the tree above or below an id."""
    with open_log(settings) as config:
        node = _find(config, identity)
    click.echo(orjson.dumps(node, option=orjson.OPT_INDENT_2).decode() if as_json else render_tree(node))
    return 0


def _find(config: KafkaConfig, identity: str) -> LineageNode:
    """In the log, or else in the branch of a run (`nextstate rejudge`), where policies of their own learn."""
    try:
        return find(LogQuery(config), identity)
    except UnknownIdError:
        for run in branches(config):
            with suppress(UnknownIdError):
                return find(LogQuery(branch_of(config, run)), identity)
        raise
