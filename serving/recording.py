"""`Recording`: an event is safe before a client hears of it, or the setting says that it may be served unrecorded.

Owns the decision for the case that neither Kafka nor the spool takes events: `keep` is for what somebody is served
with, `must_keep` for what somebody sends to be recorded. Consumes events, hands them to the
recorder, counts where they went.
"""

import logging
import time
from collections.abc import Callable
from typing import Literal, Protocol

from schemas.errors import SpoolFullError
from schemas.events import Event
from serving.metrics import GatewayMetrics
from streams.topics import Topic

_LOGGER = logging.getLogger(__name__)
PROBE_EVERY_S = 5.0  # while nothing can be recorded, one request in this time is let through to find out


class Recorder(Protocol):
    """What `streams.recorder.Recorder` does for the gateway."""

    @property
    def healthy(self) -> bool:
        """Whether events go straight to Kafka."""

    @property
    def spooled_bytes(self) -> int:
        """Bytes that wait on disk."""

    async def record(self, topic: Topic, event: Event) -> Literal["kafka", "spool"]:
        """Make an event safe."""


class Recording:
    """Keeps events through a recorder.

    Args:    when_unrecordable: "refuse" raises where an event cannot be kept, "serve" goes on without it.
    """

    def __init__(
        self,
        recorder: Recorder,
        when_unrecordable: Literal["refuse", "serve"],
        metrics: GatewayMetrics,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recorder = recorder
        self._refuse = when_unrecordable == "refuse"
        self._metrics = metrics
        self._monotonic_s = monotonic_s
        self._full: tuple[float, SpoolFullError] | None = None  # since when, and why

    @property
    def trouble(self) -> str | None:
        """Why nothing can be recorded, in a sentence."""
        return str(self._full[1]) if self._full is not None and self.place == "nowhere" else None

    @property
    def place(self) -> Literal["kafka", "spool", "nowhere"]:
        """Where the next event will go, as far as is known."""
        if self._recorder.healthy:
            return "kafka"
        if self._full is None or self._monotonic_s() - self._full[0] > PROBE_EVERY_S:
            return "spool"
        return "nowhere"

    @property
    def serves(self) -> bool:
        """Whether requests are served as it is: they are recorded, or the setting lets them be served without."""
        return self.place != "nowhere" or not self._refuse

    @property
    def spooled_bytes(self) -> int:
        """Bytes that wait on disk."""
        return self._recorder.spooled_bytes

    def admit(self) -> bool:
        """Whether what is about to be done will be recorded.

        Raises:  SpoolFullError: it would not, and is refused for that.
        """
        if (trouble := self.trouble) is not None and self._refuse:
            raise SpoolFullError(trouble)
        return self.place != "nowhere"

    async def keep(self, topic: Topic, event: Event) -> bool:
        """Make an event safe; False: it is lost, and the setting allows that.

        Raises:  SpoolFullError: it is lost, and the client must not be told otherwise; RejectedError: it cannot be
                 encoded.
        """
        try:
            await self.must_keep(topic, event)
        except SpoolFullError:
            if self._refuse:
                raise
            return False
        return True

    async def must_keep(self, topic: Topic, event: Event) -> None:
        """Make an event safe, whatever the setting says: for those who tell it and nothing else, and can tell it again.

        Raises:  SpoolFullError: it is lost; RejectedError: it cannot be encoded.
        """
        try:
            place = await self._recorder.record(topic, event)
        except SpoolFullError as error:
            self._full = (self._monotonic_s(), error)
            _LOGGER.warning("event %s of %s is lost: %s", event.id, topic.name, error)
            self._metrics.events.labels(topic.name, "nowhere").inc()
            raise
        self._full = None
        self._metrics.events.labels(topic.name, place).inc()
