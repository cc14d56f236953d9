"""`configured` and `report`: what commands that take settings share. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click


def configured(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """A command that takes settings: adds `--config` and `--set`."""

    @click.option("--config", type=click.Path(path_type=Path), help="A settings file instead of nextstate.toml.")
    @click.option("--set", "options", multiple=True, metavar="KEY=VALUE", help="One setting, e.g. gateway.port=8001.")
    @wraps(command)
    def wrapper(*, config: Path | None, options: tuple[str, ...], **arguments: Any) -> int | None:
        import logging

        from infra.settings_file import load_settings

        logging.basicConfig(level=logging.ERROR, format="%(message)s")  # what passes by itself is for log files
        return command(settings=load_settings(config, options), **arguments)

    return wrapper


def report(line: str) -> None:
    """Progress, on stderr: stdout is for answers."""
    click.echo(line, err=True)
