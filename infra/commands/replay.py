"""`replay`: history through today's processors, compared with what they wrote then."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson

from infra.commands.log import open_log
from infra.replay.job import replay_log
from infra.replay.report import as_json, as_text
from infra.replay.slice import Selection
from infra.settings import Settings
from schemas.errors import RejectedError

DIFFERENT = 1


def show_replay(
    settings: Settings,
    selection: Selection,
    *,
    is_fresh: bool,
    print_json: bool,
    out: Path | None,
    archive: Path | None,
    report: Callable[[str], None],
) -> int:
    """Prints the comparison; 1 where the recorded judgements lead to something else than was recorded."""
    with open_log(settings, archive) as log:
        found = replay_log(log.records, settings, selection, is_fresh=is_fresh, out=out, tell=report)
    click.echo(orjson.dumps(as_json(found), option=orjson.OPT_INDENT_2).decode() if print_json else as_text(found))
    return 0 if is_fresh or found.outcome.is_identical else DIFFERENT


def selection_of(
    *, since: str | None, until: str | None, conversations: Sequence[str], tenant: str | None, policy: str | None
) -> Selection:
    """What the options name.

    Raises:  RejectedError: a time that is none.
    """
    return Selection(
        since_ms=_time_ms("--since", since),
        until_ms=_time_ms("--until", until),
        conversations=frozenset(conversations),
        tenant=tenant,
        policy=policy,
    )


def _time_ms(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RejectedError(f"{option} {text!r} is no time: write 2026-01-31, or 2026-01-31T12:00:00 (UTC).") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
