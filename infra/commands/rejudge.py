"""`rejudge`: another judge reads recorded history; what it says goes to a branch of the log, and is compared."""

import asyncio
from collections.abc import Callable
from typing import Any

import click
import orjson
from pydantic import ValidationError

from infra.commands.log import open_log
from infra.prepare import model_folder
from infra.rejudge.agreement import label, table
from infra.rejudge.job import Rejudged, rejudge, write_branch
from infra.replay.job import assessors_of
from infra.replay.slice import Selection
from infra.settings import Settings, run_configured
from schemas.errors import SettingsError
from serving.rendering import ChatRenderer
from streams.branches import branch_of


def show_rejudge(
    settings: Settings,
    selection: Selection,
    *,
    run: str,
    judge: str,
    hints: str,
    print_json: bool,
    report: Callable[[str], None],
) -> int:
    """Judges a slice again under a run's name, and prints how old and new verdicts agree.

    Args:    judge, hints: a kind, or "settings" for the one that is configured.
    """
    asked = _with_policy(_with_judge(settings, judge, hints), run)
    with open_log(settings) as log:
        assert log.kafka is not None
        branch = branch_of(log.kafka, run)
        if run in log.runs():
            raise SettingsError(f"There is a run {run!r} already: choose another name (--as).")
        assessors = assessors_of(asked)
        report(f"Judging with {assessors.judge.name} {assessors.judge.version}")
        found = rejudge(
            log.records,
            selection,
            policy=asked.policy,
            assessors=assessors,
            renderer=ChatRenderer(model_folder(asked, report), asked.engine.context_length),
            config=asked.processors,
        )
        asyncio.run(write_branch(branch, found, run_configured(asked)))
    click.echo(orjson.dumps(_as_json(found, run), option=orjson.OPT_INDENT_2) if print_json else _as_text(found, run))
    return 0


def _with_judge(settings: Settings, judge: str, hints: str) -> Settings:
    changes: dict[str, Any] = {}
    if judge != "settings":
        changes["judge"] = settings.judge.model_copy(update={"kind": judge})
    if hints != "settings":
        changes["hints"] = settings.hints.model_copy(update={"kind": hints})
    return settings.model_copy(update=changes)


def _with_policy(settings: Settings, run: str) -> Settings:
    policy = f"{settings.policy}-{run}"
    try:
        return Settings.model_validate({**settings.model_dump(), "policy": policy})
    except ValidationError:
        raise SettingsError(
            f"--as {run!r} makes {policy!r} of the policy's name, which is none: use few letters, digits, _ and -."
        ) from None


def _as_json(found: Rejudged, run: str) -> dict[str, Any]:
    agreement = found.agreement
    return {
        "run": run,
        "policy": found.policy,
        "old_judges": agreement.old_judges,
        "new_judges": agreement.new_judges,
        "judged_twice": agreement.num_both,
        "only_old": agreement.num_only_old,
        "only_new": agreement.num_only_new,
        "agreement": agreement.share,
        "kappa": agreement.kappa,
        "scores": [
            {"old": label(old), "new": label(new), "count": count} for (old, new), count in agreement.counts.items()
        ],
        "with_hint": {"old": found.num_hints_old, "new": found.num_hints_new},
        "records": found.counts,
    }


def _as_text(found: Rejudged, run: str) -> str:
    agreement, counts = found.agreement, found.counts
    share = "-" if agreement.share is None else f"{agreement.share:.0%}"
    kappa = "undefined, for only one score was ever given" if agreement.kappa is None else f"{agreement.kappa:.2f}"
    return "\n".join(
        (
            f"Old: {', '.join(agreement.old_judges) or 'nobody'}. New: {', '.join(agreement.new_judges) or 'nobody'}.",
            "",
            *table(agreement),
            "",
            f"{agreement.num_both} transitions were judged by both, {share} of them alike; Cohen's kappa is {kappa}.",
            f"{agreement.num_only_old} more had an old verdict only, {agreement.num_only_new} have a new one only.",
            f"Transitions with a hint: {found.num_hints_old} then, {found.num_hints_new} now.",
            f"Run {run!r} holds {counts['samples']} samples in {counts['batches']} batches for policy {found.policy}.",
            f"Train it with `nextstate train --from {run}`, ask it with `nextstate query --run {run} SQL`.",
        )
    )
