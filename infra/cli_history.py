"""`HISTORY`: the commands that work on what was recorded. Parsing only, as in infra/cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli_options import archive_option, configured, report, sliced

if TYPE_CHECKING:
    from infra.replay.slice import Selection
    from infra.settings import Settings


@click.command()
@click.argument("question", metavar="SQL|NAME", required=False)
@click.option("--list", "is_list", is_flag=True, help="List the ready questions, which have names.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option("--run", help="Ask what `rejudge` derived under this name, instead of the log.")
@archive_option
@configured
def query(
    settings: Settings,
    question: str | None,
    *,
    is_list: bool,
    form: str | None,
    archive: Path | None,
    run: str | None,
) -> int:
    """Ask the log in SQL (DuckDB; the views are in streams/VIEWS.md), or a ready question. Without SQL: a prompt."""
    from infra.commands.query import answer, list_questions, prompt

    if is_list:
        return list_questions()
    if question is None:
        return prompt(settings, form or "table", archive, run)
    return answer(settings, question, form or "table", archive, run)


@click.command()
@click.argument("question", metavar="SQL|NAME")
@click.argument("file", type=click.Path(path_type=Path))
@archive_option
@configured
def export(settings: Settings, question: str, file: Path, archive: Path | None) -> int:
    """Write the answer to a SELECT, or to a ready question, into a file: .csv, .jsonl or .parquet."""
    from infra.commands.export import export as write

    return write(settings, question, file, archive, report)


@click.command()
@click.argument("identity", metavar="ID")
@click.option("--json", "forms", type=str, multiple=True, flag_value="json", help="Print JSON.")
@click.option("--mermaid", "forms", type=str, multiple=True, flag_value="mermaid", help="Print a Mermaid drawing.")
@click.option("--dot", "forms", type=str, multiple=True, flag_value="dot", help="Print a Graphviz drawing.")
@archive_option
@configured
def lineage(settings: Settings, identity: str, *, forms: tuple[str, ...], archive: Path | None) -> int:
    """Walk from a checkpoint (POLICY@VERSION) to its conversations, or from a conversation to its checkpoints."""
    from infra.commands.lineage import show_lineage

    return show_lineage(settings, identity, archive, forms)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every failure.")
@archive_option
@configured
def audit(settings: Settings, *, as_json: bool, archive: Path | None) -> int:
    """Check the promises that the log can show. Exits 1 where one is broken."""
    from infra.commands.audit import show_audit

    return show_audit(settings, archive, as_json=as_json)


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
@archive_option
@configured
def replay(
    settings: Settings, selection: Selection, *, judge: str, print_json: bool, out: Path | None, archive: Path | None
) -> int:
    """Derive history again with today's processors, and compare. Exits 1 if recorded judgements lead elsewhere now."""
    from infra.commands.replay import show_replay

    return show_replay(
        settings, selection, is_fresh=judge == "fresh", print_json=print_json, out=out, archive=archive, report=report
    )


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


@click.command()
@click.option("--subject", required=True, help="Whom to forget, as `subject` in the log says.")
@click.option("--tenant", default="default", show_default=True, help="Whose subject it is.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def erase(settings: Settings, subject: str, tenant: str, *, as_json: bool) -> int:
    """Forget a subject: archive and views lose its words; the checkpoints that it moved are listed."""
    from infra.commands.erase import erase_subject

    return erase_subject(settings, subject, tenant, report, as_json=as_json)


@click.command()
@click.option("--archive", type=click.Path(path_type=Path), help="The archive to restore.  [default: this home's]")
@configured
def restore(settings: Settings, archive: Path | None) -> int:
    """Fill an empty broker from the archive: the log as it was. Goes on where an earlier restore ended."""
    from infra.commands.restore import restore_archive

    return restore_archive(settings, archive, report)


@click.command()
@click.argument("version", type=int, required=False)
@click.option("--reason", default="asked for", show_default=True, help="Why, for the log.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def rollback(settings: Settings, version: int | None, *, reason: str, as_json: bool) -> int:
    """Go back to a kept VERSION, as a new version; without one, to that before the one that serves. 0: the base."""
    from infra.commands.rollback import show_rollback

    return show_rollback(settings, version, reason, as_json=as_json)


HISTORY = (query, export, lineage, audit, replay, rejudge, train, rollback, erase, restore)
