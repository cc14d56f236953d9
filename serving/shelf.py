"""`Shelf`: which versions of a policy an engine should hold. Pure; the reloader asks it what to do next.

Owns the checkpoints that are known and the ones found unusable. The newest `keep` usable versions belong on the engine;
an older one leaves it when nothing can be running on it any more, or when its place is needed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.events import CheckpointPublished
from streams.recorded import Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A published checkpoint, and the record that says so."""

    checkpoint: CheckpointPublished
    recorded: Recorded

    @property
    def adapter(self) -> str:
        """Its name in the engine."""
        return f"{self.checkpoint.policy}@{self.checkpoint.version}"


@dataclass(slots=True)
class Shelf:
    """The versions of one policy."""

    policy: str
    keep: int
    _offers: dict[int, Offer] = field(default_factory=dict)
    _unusable: set[str] = field(default_factory=set)  # checkpoint ids
    _retired_s: dict[str, float] = field(default_factory=dict)  # adapter -> since when it is not wanted

    def put(self, offer: Offer) -> bool:
        """Take note of a checkpoint; False where its version is known already (the first one counts) or not ours."""
        checkpoint = offer.checkpoint
        if checkpoint.policy != self.policy or checkpoint.version in self._offers:
            return False
        self._offers[checkpoint.version] = offer
        return True

    def discard(self, offer: Offer) -> None:
        """This one cannot be used; an older one takes its place."""
        self._unusable.add(offer.checkpoint.id)

    def wanted(self) -> tuple[Offer, ...]:
        """What should be on the engine, newest first."""
        usable = (self._offers[version] for version in sorted(self._offers, reverse=True))
        return tuple(offer for offer in usable if offer.checkpoint.id not in self._unusable)[: self.keep]

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


def _version(adapter: str) -> int:
    return int(adapter.rpartition("@")[2])
