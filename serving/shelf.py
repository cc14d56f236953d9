"""`Shelf`: which versions of a policy an engine should hold, and which one the gate should look at. Pure.

Owns what the log says of the versions, and which were found unusable; the reloader asks it what to do next. The newest
`keep` good versions belong on the engine; an older one leaves it when nothing can be running on it any more, or when
its place is needed. Good is what the gate promoted, what somebody rolled back to, and what has served before there was
a gate; without a gate, all that was not refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from schemas.events import CheckpointPublished, PolicyPromoted, PolicyRefused, PolicyRolledBack
from streams.recorded import Recorded
from streams.version_line import BASE, VersionLine, without_inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A version that there is, whose weights it has, and the record that says so."""

    policy: str
    version: int
    checkpoint: CheckpointPublished | None  # of an older version after a rollback; None: the base model's weights
    recorded: Recorded

    @classmethod
    def of(cls, recorded: Recorded) -> "Offer":
        """The version that a record of `checkpoints` publishes."""
        assert isinstance(recorded.event, CheckpointPublished)
        checkpoint = recorded.event
        return cls(policy=checkpoint.policy, version=checkpoint.version, checkpoint=checkpoint, recorded=recorded)

    @property
    def adapter(self) -> str:
        """Its name in the engine; "": the base model needs none."""
        return "" if self.checkpoint is None else f"{self.policy}@{self.version}"

    def is_held(self, loaded: Iterable[str]) -> bool:
        """Whether an engine with these adapters has it."""
        return not self.adapter or self.adapter in loaded


@dataclass(slots=True)
class Shelf:
    """The versions of one policy."""

    policy: str
    keep: int
    is_gated: bool = False
    line: VersionLine = field(default_factory=VersionLine)
    _records: dict[int, Recorded] = field(default_factory=dict)  # of versions
    _unusable: set[int] = field(default_factory=set)
    _served: set[int] = field(default_factory=set)
    _retired_s: dict[str, float] = field(default_factory=dict)  # adapter -> since when it is not wanted

    def put(self, recorded: Recorded) -> bool:
        """Take note of a version or a decision; False where it is known already (the first one counts) or not ours."""
        event = recorded.event
        if event is None or event.policy != self.policy:
            return False
        match event:
            case CheckpointPublished(version=version) | PolicyRolledBack(version=version):
                is_new = version not in self._records
                self._records.setdefault(version, _small(recorded))
            case PolicyPromoted() | PolicyRefused():
                is_new = event.version not in self.line.promoted and event.version not in self.line.refusals
            case _:
                return False
        self.line.note(event)
        return is_new

    def is_stale(self, recorded: Recorded) -> bool:
        """Whether a record of `checkpoints` publishes a version again, or one below those that there are."""
        assert isinstance(recorded.event, CheckpointPublished)
        first = self._records.get(recorded.event.version)
        if first is not None:
            return (first.topic, first.partition, first.offset) != (
                recorded.topic,
                recorded.partition,
                recorded.offset,
            )
        return recorded.event.version <= max(self.line.checkpoints, default=BASE)

    def serve(self, version: int) -> None:
        """Take note that gateways were told of a version."""
        self._served.add(version)

    def discard(self, offer: Offer) -> None:
        """This one cannot be used; an older one takes its place."""
        self._unusable.add(offer.version)

    def wanted(self) -> tuple[Offer, ...]:
        """What should be on the engine, newest first."""
        good = [offer for version in self._standing() if self._is_good(version) and (offer := self._offer(version))]
        return tuple(good[: self.keep])

    def candidates(self) -> Iterator[Offer]:
        """Versions that the gate has yet to decide on, newest first; what is older than a good one has missed it."""
        for version in self._standing():
            if self._is_good(version):
                return
            if version not in self.line.refusals and (offer := self._offer(version)):
                yield offer

    def retire(self, loaded: Iterable[str], now_s: float) -> None:
        """Take note of what is on the engine and no longer wanted."""
        wanted = {offer.adapter for offer in self.wanted()}
        old = {name for name in loaded if name.startswith(f"{self.policy}@")} - wanted
        self._retired_s = {name: self._retired_s.get(name, now_s) for name in old}

    def drained(self, now_s: float, drain_s: float) -> list[str]:
        """Adapters that have been out of use for so long that no request can be running on them."""
        return [name for name, since_s in self._retired_s.items() if now_s - since_s >= drain_s]

    def oldest_retired(self) -> str | None:
        """The adapter that is most likely out of use, where a place is needed at once."""
        return min(self._retired_s, key=lambda name: (self._retired_s[name], _version(name)), default=None)

    def _standing(self) -> Iterator[int]:
        """Versions that nobody has left behind and that can be used, newest first."""
        for version in self.line.newest_first():
            if version not in self._unusable and not self.line.is_left_behind(version):
                yield version

    def _is_good(self, version: int) -> bool:
        if self.line.is_refused(version):
            return False
        is_let_through = version in self.line.promoted or version in self.line.rollbacks or version in self._served
        return is_let_through or not self.is_gated

    def _offer(self, version: int) -> Offer | None:
        """None: a rollback to weights that were not read yet."""
        checkpoint = self.line.weights(version)
        if checkpoint is None and self.line.origin(version) != BASE:
            return None
        return Offer(policy=self.policy, version=version, checkpoint=checkpoint, recorded=self._records[version])


def _small(recorded: Recorded) -> Recorded:
    event = recorded.event
    kept = without_inputs(event) if isinstance(event, CheckpointPublished) else event
    return replace(recorded, event=kept, value=b"", headers=[])


def _version(adapter: str) -> int:
    return int(adapter.rpartition("@")[2])
