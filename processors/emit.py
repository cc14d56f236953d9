"""`Emitter`: derived events into their topics, acknowledged before a stage goes on.

Owns which topic an event goes to, and what happens when it cannot be written: an event that does not encode becomes a
rejection at the place of the record that caused it, a broker that is away is waited for. So a stage that returns from
`emit` may change its tables and give its input back as done.

Consumes derived events with their causes, produces records on transitions, verdicts, hints, skips, samples, batches,
next-states (only `ended`) and rejections.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.clock import writable_ms
from schemas.errors import BrokerUnavailableError, RejectedError
from schemas.events import (
    BatchSealed,
    Event,
    EventRejected,
    HintExtracted,
    NextStateObserved,
    SampleBuilt,
    TransitionJoined,
    TurnSkipped,
    VerdictReached,
)
from schemas.identity import DEFAULT_TENANT, derived_id
from streams.codec import Encoded, encode, encode_batch
from streams.failpoints import failpoint
from streams.producer import EventProducer, Placed
from streams.recorded import Recorded, header_text
from streams.topics import (
    BATCHES,
    HINTS,
    NEXT_STATES,
    REJECTIONS,
    SAMPLES,
    SKIPS,
    TRANSITIONS,
    VERDICTS,
    Topic,
)

VERSION = "1"
PREVIEW_CHARS = 200
RETRY_S = 1.0

TOPIC_OF: dict[type[Event], Topic] = {
    NextStateObserved: NEXT_STATES,
    TransitionJoined: TRANSITIONS,
    VerdictReached: VERDICTS,
    HintExtracted: HINTS,
    TurnSkipped: SKIPS,
    SampleBuilt: SAMPLES,
    BatchSealed: BATCHES,
    EventRejected: REJECTIONS,
}

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """A derived event, the record that completed its inputs (if one did), and for a batch its samples."""

    event: Event
    cause: Recorded | None = None
    samples: tuple[SampleBuilt, ...] = ()


def reject(cause: Recorded, stage: str, error: Exception) -> EventRejected:
    """The rejection of a record; one id per place and stage, however often it is read."""
    about = cause.event
    return EventRejected(
        id=derived_id("reject", VERSION, (stage, cause.topic, str(cause.partition), str(cause.offset))),
        time_ms=writable_ms(cause.timestamp_ms),  # its producer's clock may say anything
        policy=about.policy if about else "",
        conversation_id=about.conversation_id if about else "",
        tenant=about.tenant if about else DEFAULT_TENANT,
        subject=about.subject if about else header_text(cause.headers, "ce_subject"),  # so that an erasure finds it
        topic=cause.topic,
        partition=cause.partition,
        offset=cause.offset,
        stage=stage,
        error=type(error).__name__,
        reason=str(error),
        value_preview=cause.value[: 4 * PREVIEW_CHARS].decode(errors="replace")[:PREVIEW_CHARS],
    )


def encoded(emission: Emission, producer: str) -> tuple[Topic, Encoded]:
    """The record of an emission and where it goes; where it cannot be written, the rejection of what caused it.

    Raises:  RejectedError: it cannot be written, and no record caused it.
    """
    event = emission.event
    try:
        if isinstance(event, BatchSealed):
            return BATCHES, encode_batch(event, emission.samples, producer)
        topic = TOPIC_OF[type(event)]
        return topic, encode(topic, event, producer)
    except RejectedError as error:
        if emission.cause is None:
            raise
        _LOGGER.warning("cannot write %s: %s", type(event).__name__, error)
        return REJECTIONS, encode(REJECTIONS, reject(emission.cause, "emit", error), producer)


class Emitter:
    """Writes through one producer, in the order of its calls."""

    def __init__(self, producer: EventProducer, instance: str) -> None:
        self._producer = producer
        self._instance = instance

    async def emit(self, emissions: Sequence[Emission]) -> None:
        """Write all and wait until Kafka has them all; waits for a broker that is away.

        Raises:  FatalError: Kafka will never take them (no such topic, not allowed).
        """
        failpoint("processors.before-emit")
        await asyncio.gather(*[await self._send(*encoded(emission, self._instance)) for emission in emissions])
        failpoint("processors.emitted")

    async def _send(self, topic: Topic, record: Encoded) -> "asyncio.Future[Placed]":
        while True:
            try:
                return self._producer.send_nowait(topic, record)
            except BrokerUnavailableError as error:
                _LOGGER.warning("%s", error)
                await asyncio.sleep(RETRY_S)
