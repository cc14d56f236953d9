"""`read_committed`: what a trainer has really done, read from the log before it does more.

Consumes `checkpoints`, `current-policies` and `trained` (committed records only); produces `Committed`. Nothing on the
trainer's own disk is asked: a folder without its event is a step that never happened.
"""

from dataclasses import dataclass, field

from schemas.events import ActionTrained, CheckpointPublished, PolicyLoaded
from streams import topics
from streams.config import KafkaConfig
from streams.consumer import read_all


@dataclass(slots=True, kw_only=True)
class Committed:
    """One policy's history as far as its trainer needs it. Grows in place: `trained` holds every action there was."""

    checkpoints: dict[int, CheckpointPublished] = field(default_factory=dict)  # by version, those still in the log
    trained: set[str] = field(default_factory=set)  # action ids that have moved this policy's weights

    @property
    def newest(self) -> CheckpointPublished | None:
        """The version to continue from; None: the base model."""
        return self.checkpoints[max(self.checkpoints)] if self.checkpoints else None

    @property
    def version(self) -> int:
        """Number of the newest version; 0 is the base model."""
        return max(self.checkpoints, default=0)

    @property
    def past_rewards(self) -> tuple[float, ...]:
        """Mean reward of each batch so far that had rewards, oldest first."""
        newest_last = (self.checkpoints[version].metrics for version in sorted(self.checkpoints))
        return tuple(metrics["reward_mean"] for metrics in newest_last if "reward_mean" in metrics)

    def add(self, checkpoint: CheckpointPublished) -> None:
        """One more commit."""
        self.checkpoints[checkpoint.version] = checkpoint
        self.trained.update(checkpoint.action_ids)


def read_committed(kafka: KafkaConfig, policy: str) -> Committed:
    """One policy's history up to now.

    Call it after `TransactionalProducer.init`: until then a transaction of a killed trainer may still be open, and
    would become visible, or not, only afterwards.
    """
    committed = Committed()
    for recorded in read_all(kafka, (topics.CHECKPOINTS, topics.CURRENT_POLICIES, topics.TRAINED)):
        match recorded.event:
            case CheckpointPublished() as event if event.policy == policy:
                committed.checkpoints[event.version] = event
            case ActionTrained() as event if event.policy == policy:
                committed.trained.add(event.action_id)
    return committed


def served_version(kafka: KafkaConfig, policy: str) -> int | None:
    """The newest version that an engine has taken; None where none has. A restarted engine takes it first."""
    versions = [
        recorded.event.version
        for recorded in read_all(kafka, (topics.RELOADS,))
        if isinstance(recorded.event, PolicyLoaded) and recorded.event.policy == policy
    ]
    return max(versions, default=None)
