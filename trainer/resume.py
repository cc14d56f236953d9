"""`read_committed`: what a trainer has really done, read from the log before it does more.

Consumes `checkpoints`, `current-policies` and `trained` (committed records only); produces `Committed`. Nothing on the
trainer's own disk is asked: a folder without its event is a step that never happened.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from schemas.events import ActionTrained, CheckpointPublished, PolicyPromoted
from streams import topics
from streams.config import KafkaConfig
from streams.consumer import read_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """One policy's history as far as its trainer needs it."""

    checkpoints: Mapping[int, CheckpointPublished]  # by version, those still in the log
    trained: Set[str]  # action ids that have moved this policy's weights

    @property
    def newest(self) -> CheckpointPublished | None:
        """The version to continue from; None: the base model."""
        return self.checkpoints[max(self.checkpoints)] if self.checkpoints else None

    @property
    def version(self) -> int:
        """Number of the newest version; 0 is the base model."""
        return max(self.checkpoints, default=0)

    def after(self, checkpoint: CheckpointPublished) -> "Committed":
        """The history one commit later."""
        return Committed(
            checkpoints={**self.checkpoints, checkpoint.version: checkpoint},
            trained=self.trained | set(checkpoint.action_ids),
        )


def read_committed(kafka: KafkaConfig, policy: str) -> Committed:
    """One policy's history up to now.

    Call it after `TransactionalProducer.init`: until then a transaction of a killed trainer may still be open, and
    would become visible, or not, only afterwards.
    """
    checkpoints: dict[int, CheckpointPublished] = {}
    trained: set[str] = set()
    for recorded in read_all(kafka, (topics.CHECKPOINTS, topics.CURRENT_POLICIES, topics.TRAINED)):
        match recorded.event:
            case CheckpointPublished() as event if event.policy == policy:
                checkpoints[event.version] = event
            case ActionTrained() as event if event.policy == policy:
                trained.add(event.action_id)
    return Committed(checkpoints=checkpoints, trained=trained)


def promoted_version(kafka: KafkaConfig, policy: str) -> int | None:
    """The version that the gate let serve last; None where it has spoken of none."""
    versions = [
        recorded.event.version
        for recorded in read_all(kafka, (topics.PROMOTIONS,))
        if isinstance(recorded.event, PolicyPromoted) and recorded.event.policy == policy
    ]
    return versions[-1] if versions else None
