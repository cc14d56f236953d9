"""`audit`: the promises that a log can show, checked on the log of this home or broker.

Prints a table of the checks, then the records that fail, then what could not be seen and why.
"""

from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.table import Table

from infra.audit import audit
from infra.audit.checks import CHECKS
from infra.audit.report import Finding, Report, Tally
from infra.commands.log import open_log
from infra.settings import Settings
from schemas.clock import now_ms
from streams.printable import printable

FAILED = 1
SHOWN = 20  # failures of each check in the text; --json has all


def show_audit(settings: Settings, archive: Path | None, *, as_json: bool) -> int:
    """Prints the report; 1 where a check fails."""
    with open_log(settings, archive) as log:
        report = audit(log.records(), now_ms=now_ms(), max_open_age_s=settings.processors.max_open_age_s)
    if as_json:
        click.echo(orjson.dumps(as_facts(report), option=orjson.OPT_INDENT_2).decode())
    else:
        draw(report)
    return 0 if report.is_clean else FAILED


def as_facts(report: Report) -> dict[str, object]:
    """The report as JSON has it."""
    checks = [
        {
            "check": check.name,
            "promise": check.promise,
            "checked": tally.num_checked,
            "failures": tally.failures,
            "counted": tally.counted,
            "not_visible": tally.hidden,
            "never_visible": check.blind,
        }
        for check, tally in zip(CHECKS, report.tallies, strict=True)
    ]
    return {"clean": report.is_clean, "records": report.records, "checks": checks}


def draw(report: Report) -> None:
    """The report as text."""
    num_failures = sum(len(tally.failures) for tally in report.tallies)
    table = Table("check", "checked", "failures", "not visible", "promise", box=None, padding=(0, 2, 0, 0))
    for check, tally in zip(CHECKS, report.tallies, strict=True):
        num_failed, num_hidden = len(tally.failures), tally.hidden.total()
        shown = f"[red]{num_failed}[/red]" if num_failed else "0"
        table.add_row(check.name, str(tally.num_checked), shown, str(num_hidden), check.promise)
    Console().print(table)
    for tally in report.tallies:
        _draw_failures(tally)
    _draw_counts("counted, and no failure", {tally.check: tally.counted for tally in report.tallies})
    _draw_counts("cannot see", {tally.check: tally.hidden for tally in report.tallies})
    num_records = sum(report.records.values())
    verdict = "every check holds" if report.is_clean else f"{num_failures} failures"
    click.echo(f"\n{num_records} records: {verdict}.")


def _draw_failures(tally: Tally) -> None:
    if tally.failures:
        click.echo(f"\n{tally.check}: {len(tally.failures)} failures")
    for finding in tally.failures[:SHOWN]:
        click.echo(f"  {_text(finding)}")
    if len(tally.failures) > SHOWN:
        click.echo(f"  ... and {len(tally.failures) - SHOWN} more; --json lists all")


def _text(finding: Finding) -> str:
    place = f"{finding.topic}/{finding.partition}@{finding.offset}"
    return printable(f"{place} {finding.event_id}: {finding.what}")


def _draw_counts(title: str, counts: dict[str, dict[str, int]]) -> None:
    lines = [
        f"  {check}: {number} {what}" for check, found in counts.items() for what, number in found.items() if number
    ]
    if lines:
        click.echo("\n".join(["", f"{title}:", *lines]))
