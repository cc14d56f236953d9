"""`query`: one SELECT over the log, or a prompt for several; as a table, JSON or CSV."""

import csv
import sys
from collections.abc import Iterator

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.commands.log import existing_branch, open_log
from infra.settings import Settings
from schemas.errors import RejectedError
from streams.config import KafkaConfig
from streams.query import LogQuery, QueryResult, kafka_source, topics_of
from streams.rejudged import branch_source

PROMPT = "nextstate> "
CONTINUED = "      ...> "


def answer(settings: Settings, sql: str, form: str, run: str | None = None) -> int:
    """Prints the answer to one SELECT. Args: run: asks what this run derived, instead of the log."""
    with open_log(settings) as config:
        print_result(_ask(config, sql, _known(config, run)), form)
    return 0


def prompt(settings: Settings, form: str, run: str | None = None) -> int:
    """Reads SELECTs that end in `;` from stdin until it ends; each sees the log as it is then. Args: as `answer`."""
    with open_log(settings) as config:
        known = _known(config, run)
        for sql in statements():
            try:
                print_result(_ask(config, sql, known), form)
            except RejectedError as error:
                click.echo(str(error), err=True)
    return 0


def _known(config: KafkaConfig, run: str | None) -> str | None:
    if run is not None:
        existing_branch(config, run)
    return run


def _ask(config: KafkaConfig, sql: str, run: str | None) -> QueryResult:
    """Reads only what the question is about: samples and batches hold whole prompts."""
    topics = topics_of(sql)
    source = kafka_source(config, topics) if run is None else branch_source(config, run, topics)
    return LogQuery(config, [source]).sql(sql)


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
            rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
            click.echo(orjson.dumps(rows, default=str, option=orjson.OPT_INDENT_2).decode())
        case "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(result.columns)
            writer.writerows(result.rows)
        case _:
            _print_table(result)


def _print_table(result: QueryResult) -> None:
    table = Table(*result.columns)
    for row in result.rows:
        table.add_row(*("" if value is None else _safe(str(value)) for value in row))
    Console().print(table, markup=False)


def _safe(text: str) -> str:
    """Words of strangers, without control characters for the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)
