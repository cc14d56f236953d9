"""`configured`, `sliced`, `report`, `os_refusal`: what several commands take and print. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

Command = Callable[..., "int | None"]


def configured(command: Command) -> Command:
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


archive_option = click.option(
    "--archive", type=click.Path(path_type=Path), help="Read this archive alone; needs no broker."
)


def report(line: str) -> None:
    """Progress, on stderr: stdout is for answers."""
    click.echo(line, err=True)


def os_refusal(error: OSError) -> str:
    """What the operating system refused, where, and what to do about it."""
    import errno

    fixes = {
        errno.ENOSPC: "make room on that disk",
        errno.EDQUOT: "make room in your quota",
        **dict.fromkeys(
            (errno.EACCES, errno.EPERM, errno.EROFS),
            "let this user write there, or name another home in NEXTSTATE_HOME",
        ),
    }
    place = f"{error.filename} cannot be used" if error.filename else "The operating system refused something"
    reason = error.strerror or str(error) or type(error).__name__
    return f"{place} ({reason}): {fixes.get(error.errno or 0, 'mend that and try again')}."


def sliced(command: Command) -> Command:
    """A command on a part of the log: adds `--since`, `--until`, `--conversation`, `--tenant` and `--policy`."""

    @click.option("--since", metavar="TIME", help="Conversations with something at or after it, e.g. 2026-01-31 (UTC).")
    @click.option("--until", metavar="TIME", help="Conversations with something before it.")
    @click.option("--conversation", "conversations", multiple=True, metavar="ID", help="Only this one; repeatable.")
    @click.option("--tenant", metavar="NAME", help="Only this tenant's conversations.")
    @click.option("--policy", metavar="NAME", help="Only conversations with this policy.")
    @wraps(command)
    def wrapper(
        *,
        since: str | None,
        until: str | None,
        conversations: tuple[str, ...],
        tenant: str | None,
        policy: str | None,
        **arguments: Any,
    ) -> int | None:
        from infra.commands.replay import selection_of

        selection = selection_of(since=since, until=until, conversations=conversations, tenant=tenant, policy=policy)
        return command(selection=selection, **arguments)

    return wrapper
