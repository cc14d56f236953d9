"""`query`: one SELECT over the log, or a prompt for several; as a table, JSON or CSV."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.commands.log import Log, open_log
from infra.settings import Settings
from schemas.errors import RejectedError
from streams.printable import printable
from streams.query import LogQuery, QueryResult, topics_of
from streams.questions import ready_questions, sql_of
from streams.rejudged import branch_source

PROMPT = "nextstate> "
CONTINUED = "      ...> "
_ANY_WIDTH = 10_000


def answer(settings: Settings, question: str, form: str, archive: Path | None, run: str | None) -> int:
    """Prints the answer to one SELECT.

    Args:    question: it, or a ready question's name; archive: asked alone; run: what it derived is asked instead.
    """
    sql = sql_of(question)
    with open_log(settings, archive) as log:
        print_result(_ask(log, sql, run), form)
    return 0


def list_questions() -> int:
    """Prints the names of the ready questions."""
    for name, what in ready_questions():
        click.echo(f"{name:20} {what}")
    return 0


def prompt(settings: Settings, form: str, archive: Path | None, run: str | None) -> int:
    """Reads SELECTs that end in `;` from stdin until it ends; each sees the log as it is then. Args: as `answer`."""
    with open_log(settings, archive) as log:
        if run is not None:
            log.branch(run)  # refuses before anybody types
        for sql in statements():
            try:
                print_result(_ask(log.now(), sql, run), form)
            except RejectedError as error:
                click.echo(str(error), err=True)
    return 0


def _ask(log: Log, sql: str, run: str | None) -> QueryResult:
    """Reads only what the question is about: samples and batches hold whole prompts."""
    topics = topics_of(sql)
    if run is None:
        return log.query(topics).sql(sql)
    return LogQuery(None, [branch_source(log.records, log.branch(run).records, run, topics)]).sql(sql)


def statements() -> Iterator[str]:
    """The statements on stdin; the last one may lack its semicolon."""
    lines: list[str] = []
    while True:
        try:
            lines.append(_read_line(CONTINUED if lines else PROMPT))
        except EOFError:
            if text := "\n".join(lines).strip():
                yield text
            return
        text = "\n".join(lines).strip()
        if text.endswith(";") or not text:
            lines.clear()
        if text.endswith(";"):
            yield text


def _read_line(text: str) -> str:
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")
    import readline  # noqa: F401 - gives input() its history and editing

    return input(text)


def print_result(result: QueryResult, form: str) -> None:
    """Writes an answer to stdout as "table", "json" or "csv"."""
    match form:
        case "json":
            if twice := sorted({name for name in result.columns if result.columns.count(name) > 1}):
                raise RejectedError(f"Several columns are called {', '.join(twice)}: give each its own name with AS.")
            rows = [dict(zip(result.columns, map(_plain, row), strict=True)) for row in result.rows]
            click.echo(orjson.dumps(rows, default=str, option=orjson.OPT_INDENT_2).decode())
        case "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(result.columns)
            writer.writerows(result.rows)
        case _:
            _print_table(result)


def _plain(value: object) -> object:
    """A number beyond 64 bits as text: few readers of JSON hold it exactly."""
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


def _print_table(result: QueryResult) -> None:
    table = Table(*result.columns)
    for row in result.rows:
        table.add_row(*("" if value is None else printable(str(value), keep="\n") for value in row))
    # A file or another program has no width into which words would have to fit.
    console = Console() if sys.stdout.isatty() else Console(width=_ANY_WIDTH)
    console.print(table, markup=False)
