"""`train_branch`: the ordinary trainer on a branch of the log, until every batch in it is trained.

The same steps, transactions and checkpoints as in a stack, so it may be killed and started again. One thing differs:
history is old. No turn is too stale here, because a version line that starts at the base has drawn none of it.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import FatalError
from schemas.events import BatchSealed, CheckpointPublished, RunConfigured
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import BATCHES, CHECKPOINTS, RUNS
from trainer.config import TrainerConfig
from trainer.loop import run_trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A policy that a branch has made."""

    policy: str
    num_batches: int
    checkpoints: tuple[CheckpointPublished, ...]  # oldest first


def policy_of(branch: KafkaConfig, run: str) -> str:
    """The policy whose history a branch is.

    Raises:  FatalError: it was never finished.
    """
    policies = [record.event.policy for record in read_all(branch, (RUNS,)) if isinstance(record.event, RunConfigured)]
    if not policies:
        raise FatalError(f"Run {run!r} was not finished: judge again under another name (nextstate rejudge --as NAME).")
    return policies[0]


def train_branch(
    branch: KafkaConfig, policy: str, config: TrainerConfig, *, model_path: Path, home: Path, heartbeat: Path
) -> Trained:
    """Train a branch's policy to the end; continues where an earlier call was cut off.

    Args:    home: where `checkpoints/` lies.
    Raises:  FatalError: there is no batch to train; as `trainer.loop.run_trainer`.
    """
    num_batches = sum(isinstance(record.event, BatchSealed) for record in read_all(branch, (BATCHES,)))
    if not num_batches:
        raise FatalError(f"Nothing in the history of {policy} trains: `nextstate query --run` says why in `untrained`.")
    patient = config.model_copy(update={"max_staleness": max(config.max_staleness, num_batches)})
    run_trainer(
        patient,
        branch,
        policy,
        model_path=model_path,
        home=home,
        heartbeat=heartbeat,
        stop=threading.Event(),
        ends_when_done=True,
    )
    events = [record.event for record in read_all(branch, (CHECKPOINTS,))]
    checkpoints = {event.version: event for event in events if isinstance(event, CheckpointPublished)}
    return Trained(
        policy=policy,
        num_batches=num_batches,
        checkpoints=tuple(checkpoints[version] for version in sorted(checkpoints)),
    )
