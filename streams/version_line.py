"""`VersionLine`: the versions of one policy, what the gate said of each, and which one training continues from.

Pure. Consumes what `checkpoints` and `promotions` say of one policy, in any order between the two and however often;
who reads the log leaves out other policies. Trainer, reloader and commands ask it, so that all of them mean the same.

A version that continues from a refused one is refused with it: it was trained from the same weights. Version 0 is the
base model. A rollback is a version of its own with the weights of an older one, which is its parent; what lies between
the two is left behind. Without any decision every version counts, as in a log from before there was a gate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from schemas.events import CheckpointPublished, Event, PolicyPromoted, PolicyRefused, PolicyRolledBack

BASE = 0


def without_inputs(checkpoint: CheckpointPublished) -> CheckpointPublished:
    """To be kept for as long as there are versions: what it was trained on is most of it, and nobody asks it of one."""
    return replace(checkpoint, batch_ids=(), sample_ids=(), action_ids=())


@dataclass(slots=True, kw_only=True)
class VersionLine:
    """Grows by `note`. Of several records about one version the first counts."""

    checkpoints: dict[int, CheckpointPublished] = field(default_factory=dict)  # by version, without ids of inputs
    rollbacks: dict[int, PolicyRolledBack] = field(default_factory=dict)  # by the version that each made
    promoted: set[int] = field(default_factory=set)
    refusals: dict[int, PolicyRefused] = field(default_factory=dict)

    def note(self, event: Event | None) -> None:
        """Take in one event; of those that are about no version, nothing."""
        match event:
            case CheckpointPublished(version=version):
                self.checkpoints.setdefault(version, without_inputs(event))
            case PolicyRolledBack(version=version):
                self.rollbacks.setdefault(version, event)
            case PolicyPromoted(version=version) if version not in self.refusals:
                self.promoted.add(version)
            case PolicyRefused(version=version) if version not in self.promoted:
                self.refusals.setdefault(version, event)

    @property
    def newest(self) -> int:
        """The highest version that there is; the next one is one more, whatever became of this one."""
        return max((*self.checkpoints, *self.rollbacks), default=BASE)

    @property
    def head(self) -> int:
        """The version to continue from: the newest that is not refused."""
        return next((version for version in self.newest_first() if not self.is_refused(version)), BASE)

    def newest_first(self) -> Iterator[int]:
        """Every version but the base model."""
        return iter(sorted((*self.checkpoints, *self.rollbacks), reverse=True))

    def knows(self, version: int) -> bool:
        """Whether there is such a version."""
        return version == BASE or version in self.checkpoints or version in self.rollbacks

    def ancestry(self, version: int) -> Iterator[int]:
        """The version itself, its parent, that one's parent ... as far as the log has them; the base model is last."""
        while True:
            yield version
            if version in self.rollbacks:
                parent = self.rollbacks[version].to_version
            elif version in self.checkpoints:
                parent = self.checkpoints[version].parent_version
            else:
                return
            if parent >= version:  # no writer of ours says that; who follows it never ends
                return
            version = parent

    def refused_by(self, version: int) -> int | None:
        """The refused version that this one is, or continues from; None: neither."""
        return next((one for one in self.ancestry(version) if one in self.refusals), None)

    def is_refused(self, version: int) -> bool:
        """Whether the gate refused it, or one that it continues from."""
        return self.refused_by(version) is not None

    def is_left_behind(self, version: int) -> bool:
        """Whether somebody rolled back from it, or past it."""
        return any(one.to_version < version < one.version for one in self.rollbacks.values())

    def origin(self, version: int) -> int:
        """The version whose folder holds the weights: itself, but for a rollback; 0: the base model."""
        return next(one for one in self.ancestry(version) if one not in self.rollbacks)

    def weights(self, version: int) -> CheckpointPublished | None:
        """The checkpoint that holds a version's weights; None: the base model, or one that is not in the log."""
        return self.checkpoints.get(self.origin(version))

    def behind(self, version: int) -> int:
        """How many versions the head has had since this one, counting those only that it continues from.

        The naive form, a difference of numbers, counts refused versions, too: after a few of them every turn of the
        version that serves would be too stale to train.
        """
        return sum(one > version for one in self.ancestry(self.head))
