"""`Ledger`: what clients were told, kept outside the system. It is what a log is held against afterwards."""

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of a client. Times are of the monotonic clock, in seconds."""

    at_s: float
    first_s: float | None  # from the request to the first words; None: none came
    whole_s: float  # to the end, of whichever kind
    error: str | None  # what the client was told instead of an answer
    status: int | None = None  # of HTTP, where it was refused
    action_id: str | None = None  # where the client was told it
    version: int | None = None  # that answered, as the client was told

    @property
    def end_s(self) -> float:
        """When it ended."""
        return self.at_s + self.whole_s


@dataclass(slots=True)
class Ledger:
    """One run's clients together."""

    acknowledged: set[str] = field(default_factory=set)  # actions whose finish a client has seen
    reacted_to: set[str] = field(default_factory=set)  # recorded ones behind which an acknowledged request came
    rated: set[str] = field(default_factory=set)  # actions whose thumb was acknowledged
    unrecorded: set[str] = field(default_factory=set)  # actions of which the gateway said that they are not recorded
    requests: list[Asked] = field(default_factory=list)

    def asked(self, at_s: float, first_s: float | None, error: str | None = None, **told: Any) -> None:
        """A request that has ended now. Args: told: the other fields of `Asked`, where they are known."""
        self.requests.append(Asked(at_s=at_s, first_s=first_s, whole_s=time.monotonic() - at_s, error=error, **told))

    def between(self, begin_s: float, end_s: float) -> list[Asked]:
        """The requests that began in this time."""
        return [one for one in self.requests if begin_s <= one.at_s < end_s]

    @property
    def num_failed(self) -> int:
        """Requests that got no answer, or none to its end."""
        return sum(one.error is not None for one in self.requests)
