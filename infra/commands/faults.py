"""`faults`: runs the fault suite, or parts of it, and prints its table."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click
import msgspec

from infra.faults.job import run_faults
from infra.faults.parts import PARTS
from infra.faults.table import table_of
from infra.settings import Settings


def list_parts() -> int:
    """Prints the parts and what each tries; not their rows, as loading all parts takes seconds."""
    width = max(map(len, PARTS))
    for name, what in PARTS.items():
        click.echo(f"{name:<{width}}  {what}")
    click.echo(
        "\nWhat resumes is a row, at most 45 minutes long; a part has several. --only tries the rows that it names."
    )
    return 0


def show_faults(
    settings: Settings,
    parts: Sequence[str],
    report: Callable[[str], None],
    *,
    only: str,
    seed: int,
    is_short: bool,
    out: Path,
    as_json: bool,
) -> int:
    """Tries what has not held yet, and prints the table. Returns: 1 where anything was lost, doubled or wrong."""
    parts = parts or tuple(PARTS)
    results = run_faults(settings, parts, only=only, seed=seed, is_short=is_short, out=out, report=report)
    click.echo(msgspec.json.encode(results).decode() if as_json else table_of(results), nl=as_json)
    return 0 if all(result.outcome.holds for result in results) else 1
