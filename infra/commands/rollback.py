"""`rollback`: an older version serves and trains again, as a new version."""

import click
import orjson

from infra.commands.log import open_broker
from infra.home import Home
from infra.run_file import RunFile
from infra.settings import Settings
from trainer.rollback import RolledBack, roll_back


def show_rollback(settings: Settings, version: int | None, reason: str, *, as_json: bool) -> int:
    """Rolls back, and prints what that makes of the policy.

    Raises:  RejectedError: there is no such version to go back to; FatalError: no stack has run here.
    """
    is_running = RunFile(Home(settings.home)).read() is not None
    with open_broker(settings) as kafka:
        done = roll_back(kafka, settings.policy, version, reason)
    click.echo(_as_json(done) if as_json else _as_text(done, is_running=is_running))
    return 0


def _as_json(done: RolledBack) -> str:
    event = done.event
    found = {
        "event_id": event.id,
        "policy": event.policy,
        "version": event.version,
        "to_version": event.to_version,
        "left_behind": done.left,
    }
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def _as_text(done: RolledBack, *, is_running: bool) -> str:
    event = done.event
    weights = f"the weights of version {event.to_version}" if event.to_version else "the base model's weights"
    lines = [f"{event.policy} is at version {event.version}, which has {weights}."]
    left = [f"{event.policy}@{version}" for version in done.left]
    if left:
        lines.append(f"Left behind: {left[0]}" + (f" to {left[-1]}." if len(left) > 1 else "."))
    if is_running:
        lines.append("New requests go to it, and training continues from it, within seconds: see `nextstate status`.")
    return "\n".join(lines)
