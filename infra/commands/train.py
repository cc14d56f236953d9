"""`train`: a new policy from history that was judged again."""

from collections.abc import Callable

import click
import orjson

from infra.commands.log import open_log
from infra.home import Home
from infra.prepare import model_folder
from infra.rejudge.train import Trained, policy_of, train_branch
from infra.settings import Settings


def show_train(settings: Settings, *, run: str, print_json: bool, report: Callable[[str], None]) -> int:
    """Trains the policy of a run, and prints its versions."""
    with open_log(settings) as log:
        branch = log.branch(run).kafka
        assert branch is not None
        policy = policy_of(branch, run)
        report(f"Training {policy}")
        trained = train_branch(
            branch,
            policy,
            settings.trainer,
            model_path=model_folder(settings, report),
            home=settings.home,
            heartbeat=Home(settings.home).heartbeats / f"train-{run}",
        )
    click.echo(_as_json(trained, run) if print_json else _as_text(trained))
    return 0


def _as_json(trained: Trained, run: str) -> str:
    versions = [
        {"version": each.version, "id": each.id, "actions": len(each.action_ids), "metrics": each.metrics}
        for each in trained.checkpoints
    ]
    found = {"run": run, "policy": trained.policy, "batches": trained.num_batches, "versions": versions}
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def _as_text(trained: Trained) -> str:
    lines = [
        f"{trained.policy}@{each.version}: {len(each.action_ids)} turns, loss {each.metrics['loss']:.4g}"
        for each in trained.checkpoints
    ]
    num_batches, newest = trained.num_batches, len(trained.checkpoints)
    lines.append(f"{num_batches} batches made {newest} versions of {trained.policy}.")
    if newest:
        lines.append(f"`nextstate lineage {trained.policy}@{newest}` walks to the conversations.")
    return "\n".join(lines)
