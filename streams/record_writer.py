"""`RecordWriter`: what a program said, matched and made safe: in Kafka, or in the spool.

    items ──► what the index lacks (record_recall.py) ──► events ──► streams/recorder.py ──► Kafka, or the spool

Owns the conversation index, producer, spools and what is read back. Whatever cannot be recorded is reported as trouble,
never raised. A client of Kafka's that can go no further is opened anew: nobody starts a program anew that is only
watched. Unblocked by: its caller, the worker.
"""

import asyncio
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from schemas.clock import now_ms
from schemas.events import ActionTaken, Event
from streams.config import KafkaConfig
from streams.conversation import ConversationIndex
from streams.producer import EventProducer
from streams.record_queue import Weighty
from streams.record_recall import Missing, Recall, Tail
from streams.record_spools import NAME, Spools
from streams.recorder import Recorder
from streams.tail import LogTail
from streams.topics import ACTIONS, TOPIC_OF

CLOSE_S = 5.0
_ANSWER_S = 2.0  # for Kafka to send all that is asked for at a time
RENEW_S = 10.0  # before another client of Kafka's may be opened
_HOUR_S = 3600.0
_GUEST = {  # in a program that we only watch
    "log_level": "2",  # librdkafka logs each attempt to connect; it is told once
    "queue.buffering.max.kbytes": "65536",  # 1 GiB otherwise, while Kafka is away
}
_UNMATCHED = (
    "it follows an answer that is not known here, and what was said of that is lost. Where several processes answer "
    "one conversation, or one after a restart, name it by `recorder.conversation`"
)

Kind = Literal["dropped", "failed", "unmatched", "unread", "undelivered"]
Trouble = Callable[[Kind, object], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a recorder holds on to, and for how long."""

    max_queued: int = 10_000  # items; more are dropped, and counted
    max_queued_bytes: int = 64 * 1024 * 1024  # of what they hold, roughly
    deadline_s: float = 2.0  # for Kafka to acknowledge, then the spool takes it
    spool_max_bytes: int = 256 * 1024 * 1024
    max_open_bytes: int = 64 * 1024 * 1024  # memory for conversations that may go on
    max_open_age_s: float = 7 * 24 * _HOUR_S
    max_chain_age_s: float = 24 * _HOUR_S
    max_recalled: int = 10_000  # actions that others recorded: the newest of each partition are looked through
    max_recalled_bytes: int = 32 * 1024 * 1024  # memory for them


class Item(Weighty, Protocol):
    """Something that a program said, at `time_ms`."""

    time_ms: int

    def missing(self, index: ConversationIndex) -> Missing | None:
        """What it needs that the index lacks, and other processes may have recorded.

        Raises:  RejectedError: it cannot be said.
        """

    def events(self, index: ConversationIndex) -> Sequence[Event]:
        """What it is in the log.

        Raises:  RejectedError: it cannot be said.
        """


class RecordWriter:
    """Records items, in their order.

    Args:    folder: for all spools; trouble: told what comes to nothing; stop: once set, nothing is read back; tail: of
             the actions, another one than Kafka's.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        folder: Path,
        limits: Limits,
        trouble: Trouble,
        *,
        stop: threading.Event,
        tail: Tail | None = None,
    ) -> None:
        kafka = kafka.model_copy(update={"client": {**_GUEST, **kafka.client}})
        self._trouble = trouble
        self._index = ConversationIndex.of(limits, now_ms)
        self._producer = EventProducer(kafka, f"{NAME}-{os.getpid()}")
        self._spools = Spools(
            folder, kafka, self._producer, max_bytes=limits.spool_max_bytes, deadline_s=limits.deadline_s
        )
        self._recall = Recall(
            tail or LogTail(kafka, ACTIONS, max_records=limits.max_recalled, timeout_s=_ANSWER_S, stop=stop),
            max_bytes=limits.max_recalled_bytes,
            stop=stop,
            trouble=lambda error: trouble("unread", error),
        )
        self._recorder: Recorder
        self._left: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._recorder = await self._spools.take()
        self._left = asyncio.create_task(self._keep_delivering())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left.cancel()
        await asyncio.wait({self._left})
        await self._recorder.close()
        # While it is not healthy, the spool has all that the producer has.
        await self._producer.close(CLOSE_S if self._recorder.healthy else 0.0)
        await self._recall.close()

    async def _keep_delivering(self) -> None:
        """This process's spool and those that were left, whatever happens to Kafka's client. Cancel to stop."""
        while True:
            try:
                await self._spools.deliver_left(self._recorder)
            except Exception as error:  # what is told meanwhile goes to the spool
                self._trouble("undelivered", error)
            await self._producer.close(0.0)  # the next send opens another client
            self._recorder.resume()
            await asyncio.sleep(RENEW_S)

    async def write(self, items: deque[Item], counts: Counter[str]) -> None:
        """Make items safe. Args: items: taken off as they are safe, or lost; counts: gets how many events are where."""
        while items:
            events, num_items = await self._matched(items)
            counts.update(await self._make_safe(events))
            for _ in range(num_items):
                items.popleft()

    async def _matched(self, items: deque[Item]) -> tuple[Sequence[Event], int]:
        """The events of so many items: up to one that Kafka is read for, as those before it must not wait for that."""
        events: list[Event] = []
        for number, item in enumerate(items):
            try:
                if (missing := item.missing(self._index)) and self._recorder.healthy:
                    if number and self._recall.must_read(missing, item.time_ms):
                        return events, number
                    await self._recall.bring(missing, item.time_ms, self._index)
                events += item.events(self._index)
            except Exception as error:  # anything may be in what a program holds
                self._trouble("failed", error)
        return events, len(items)

    async def _make_safe(self, events: Sequence[Event]) -> Counter[str]:
        told = (self._recorder.record(TOPIC_OF[type(event)], event) for event in events)
        safe: Counter[str] = Counter()
        for event, place in zip(events, await asyncio.gather(*told, return_exceptions=True), strict=True):
            if isinstance(place, BaseException):
                self._trouble("failed", place)
                self._index.forget(event.id)
                continue
            safe[place] += 1
            if isinstance(event, ActionTaken) and event.turn and event.parent_action_id is None:
                self._trouble("unmatched", _UNMATCHED)
        return safe
