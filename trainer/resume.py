"""`read_committed`: what a trainer has really done, and what became of it, read from the log before it does more.

Consumes `checkpoints`, `current-policies`, `promotions` and `trained` (committed records only); produces `Committed`.
Nothing on the trainer's own disk is asked: a folder without its event is a step that never happened.
"""

from dataclasses import dataclass, field

from schemas.events import ActionTrained, CheckpointPublished, Event
from streams import topics
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.version_line import VersionLine


def writer_of(policy: str) -> str:
    """The transactional id under which versions of a policy are made, and the group that takes its batches.

    Only the newest holder of the id can make one.
    """
    return f"trainer-{policy}"


@dataclass(slots=True, kw_only=True)
class Committed:
    """One policy's history as far as its trainer needs it. Grows in place: `trained` holds every action there was.

    Also those that moved a version which was refused, or left behind: they do not train again.
    """

    line: VersionLine = field(default_factory=VersionLine)
    trained: set[str] = field(default_factory=set)  # action ids that have moved this policy's weights

    @property
    def version(self) -> int:
        """The version to continue from; 0 is the base model."""
        return self.line.head

    @property
    def weights(self) -> CheckpointPublished | None:
        """The checkpoint of that version; None: the base model."""
        return self.line.weights(self.version)

    @property
    def next_version(self) -> int:
        """The number of the version to come, which no other has had."""
        return self.line.newest + 1

    @property
    def past_rewards(self) -> tuple[float, ...]:
        """Mean reward of each batch that had rewards and led to the version to continue from, oldest first."""
        newest_first = [self.line.checkpoints.get(version) for version in self.line.ancestry(self.version)]
        metrics = [one.metrics for one in reversed(newest_first) if one is not None]
        return tuple(each["reward_mean"] for each in metrics if "reward_mean" in each)

    def add(self, checkpoint: CheckpointPublished) -> None:
        """One more commit."""
        self.line.note(checkpoint)
        self.trained.update(checkpoint.action_ids)


def read_committed(kafka: KafkaConfig, policy: str) -> Committed:
    """One policy's history up to now.

    Call it after `TransactionalProducer.init`: until then a transaction of a killed trainer may still be open, and
    would become visible, or not, only afterwards.
    """
    committed = Committed()
    for recorded in read_all(kafka, (topics.CHECKPOINTS, topics.CURRENT_POLICIES, topics.PROMOTIONS, topics.TRAINED)):
        match recorded.event:
            case ActionTrained() as event if event.policy == policy:
                committed.trained.add(event.action_id)
            case Event() as event if event.policy == policy:
                committed.line.note(event)
    return committed
