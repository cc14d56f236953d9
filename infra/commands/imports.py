"""`import`: old conversations of some files into the log.

Every file is asked what it is before the first is read, so that a wrong one is named while nothing has happened yet.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import orjson

from infra.commands.log import open_log
from infra.handover import last_settings
from infra.imports.job import WRITTEN, Chats, Import, import_files, known_ids, told
from infra.imports.turns import Target
from infra.model import prepare_small_model
from infra.prepare import runtime_home
from infra.settings import MAX_POLICY_CHARS, POLICY_PATTERN, Settings
from schemas.errors import SettingsError
from schemas.events import Source
from serving.rendering import ChatRenderer
from streams.formats.detect import Format, tell_format


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line says. None: as the stack, the file or the conversation says."""

    kind: Format | None
    policy: str | None
    tenant: str
    subject: str | None
    source: Source | None


def import_all(
    settings: Settings, paths: Sequence[Path], wanted: Wanted, report: Callable[[str], None], *, as_json: bool
) -> int:
    """Prints what was imported; 1 where something was rejected."""
    files = [Chats(path=path, kind=tell_format(path, wanted.kind)) for path in paths]
    running = last_settings(settings)
    policy = _checked(wanted.policy or running.policy)
    model = settings.engine.model_path or running.engine.model_path
    tokens = ChatRenderer(Path(model) if model else prepare_small_model(runtime_home(settings).models, report))
    target = Target(
        policy=policy,
        tenant=wanted.tenant,
        subject=wanted.subject,
        source=wanted.source,
        context_length=running.engine.context_length,
    )
    with open_log(settings) as log:
        assert log.kafka is not None  # only an archive that is asked alone has none
        report("reading which turns are in the log")
        job = Import(known_ids(log.records(WRITTEN)), target, tokens)
        tally = asyncio.run(import_files(log.kafka, job, files, report))
    click.echo(orjson.dumps(asdict(tally)).decode() if as_json else told(tally))
    if tally.rejected:
        report('What was rejected, and why: nextstate query "SELECT file, line, reason FROM rejections"')
    return 1 if tally.rejected else 0


def _checked(policy: str) -> str:
    if re.fullmatch(POLICY_PATTERN, policy) is None or len(policy) > MAX_POLICY_CHARS:
        message = f"--policy is {policy!r}: use up to {MAX_POLICY_CHARS} letters, digits, dots, dashes and underscores."
        raise SettingsError(message)
    return policy
