"""`Worker`: what a program's recorder was told, on its way to Kafka, in a thread of its own.

    put ──► record_queue.py ──► every 50 ms: match, make events ──► streams/recorder.py ──► Kafka, or the spool

Owns the queue, the thread with its event loop, the conversation index, producer and spool. Nothing here is raised into
the program: what cannot be recorded is counted, and the first of its kind is logged. Unblocked by: the clock.

The thread begins with the first item, also in a forked child, whose parent's thread it does not have.
"""

import asyncio
import logging
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from schemas.clock import now_ms
from schemas.events import ActionTaken, Event
from streams.config import KafkaConfig
from streams.conversation import ConversationIndex
from streams.producer import EventProducer
from streams.record_queue import RecordQueue, Weighty
from streams.record_spools import NAME, Spools
from streams.recorder import Recorder
from streams.topics import TOPIC_OF

_LOGGER = logging.getLogger("nextstate.recorder")
BATCH_S = 0.05  # what is told in this time goes to Kafka together
AT_ONCE = 256  # items
_GUEST = {  # in a program that we only watch
    "log_level": "2",  # librdkafka logs each attempt to connect; it is told once
    "queue.buffering.max.kbytes": "65536",  # 1 GiB otherwise, while Kafka is away
}
_NO_ROOM = "more is told than can be recorded (see `Limits`), or the recorder is closed"
_CLOSE_S = 5.0
_HOUR_S = 3600.0


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


class Item(Weighty, Protocol):
    """Something that a program said."""

    def events(self, index: ConversationIndex) -> Sequence[Event]:
        """What it is in the log.

        Raises:  RejectedError: it cannot be said.
        """


@dataclass(slots=True)
class _Flush:
    """Everything put before it is done when the worker meets it."""

    reached: threading.Event = field(default_factory=threading.Event)
    is_safe: bool = False
    bulk: Sequence[object] = ()

    def events(self, _: ConversationIndex) -> Sequence[Event]:
        self.is_safe = True
        self.reached.set()
        return ()


class Worker:
    """Records items in the background. Safe for several threads. Args: folder: for all spools."""

    def __init__(self, kafka: KafkaConfig, folder: Path, limits: Limits) -> None:
        self._kafka = kafka.model_copy(update={"client": {**_GUEST, **kafka.client}})
        self._folder = folder
        self._limits = limits
        self.counts: Counter[str] = Counter()  # kafka, spool: events; dropped, failed: items
        self._closed = False
        self._begin()
        _LIVE.add(self)

    def _begin(self) -> None:
        self._queue: RecordQueue[Item] = RecordQueue(self._limits.max_queued, self._limits.max_queued_bytes)
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, item: Item) -> None:
        """Take an item, or count that it is dropped: the one thing that a program's own thread does."""
        if self._thread is None:
            self._start()
        if self._closed or not self._queue.put(item):
            self.trouble("dropped", _NO_ROOM)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was put is safe; False: it is not yet."""
        if self._thread is None or not self._thread.is_alive():
            return not self._queue
        marker = _Flush()
        self._queue.insert(marker)
        marker.reached.wait(timeout_s)
        return marker.is_safe

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Record what is left, as far as the time goes, and end the thread."""
        self._closed = True
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self._queue:
            _LOGGER.warning("closing with %d items that are not recorded", len(self._queue))
        _LIVE.discard(self)

    def trouble(self, kind: str, reason: object) -> None:
        """Count something that went wrong; the first of a kind is logged."""
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            _LOGGER.warning("a turn is not recorded: %s (more of this kind are only counted)", reason)

    def after_fork(self) -> None:
        """Begin anew in a child: the parent records what was in the queue."""
        self.counts.clear()
        self._begin()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name="nextstate-recorder", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads, or the interpreter is ending
                    self._closed = True
                    self.trouble("dropped", error)
                else:
                    self._thread = thread

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except Exception as error:  # whatever it is, the program goes on
            self._closed = True
            self.trouble("dropped", f"{error} Nothing is recorded from now on.")
        finally:
            for item in self._queue.rest():
                if isinstance(item, _Flush):
                    item.reached.set()

    async def _work(self) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1, "nextstate-recorder"))
        index = ConversationIndex.of(self._limits, now_ms)
        producer = EventProducer(self._kafka, f"{NAME}-{os.getpid()}")
        spools = Spools(
            self._folder,
            self._kafka,
            producer,
            max_bytes=self._limits.spool_max_bytes,
            deadline_s=self._limits.deadline_s,
        )
        recorder = await spools.take()
        beside = [asyncio.create_task(spools.deliver_left(recorder)), asyncio.create_task(self._keep_weighing())]
        try:
            while self._queue or not self._stop.is_set():
                self._weigh()
                items = self._queue.take(AT_ONCE)
                if not items:
                    await asyncio.sleep(BATCH_S)
                await self._record(items, index, recorder)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
            await recorder.close()
            await producer.close(_CLOSE_S if recorder.healthy else 0.0)  # while it is not, the spool has all of it

    def _weigh(self) -> None:
        for _ in range(self._queue.weigh()):
            self.trouble("dropped", _NO_ROOM)

    async def _keep_weighing(self) -> None:
        while True:  # also while the other task waits for Kafka
            self._weigh()
            await asyncio.sleep(BATCH_S)

    async def _record(self, items: Sequence[Item], index: ConversationIndex, recorder: Recorder) -> None:
        """Make items safe, in their order."""
        sent: list[Event] = []
        for item in items:
            if isinstance(item, _Flush):
                await self._send(sent, index, recorder)
                sent.clear()
            try:
                sent += item.events(index)
            except Exception as error:  # anything may be in what a program holds
                self.trouble("failed", error)
        await self._send(sent, index, recorder)

    async def _send(self, events: Sequence[Event], index: ConversationIndex, recorder: Recorder) -> None:
        places = await asyncio.gather(
            *(recorder.record(TOPIC_OF[type(event)], event) for event in events), return_exceptions=True
        )
        for event, place in zip(events, places, strict=True):
            if isinstance(place, BaseException):
                self.trouble("failed", place)
                if isinstance(event, ActionTaken):
                    index.forget(event.id)
            else:
                self.counts[place] += 1


_LIVE: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def _each(do: Callable[[Worker], None]) -> None:
    for worker in tuple(_LIVE):
        do(worker)


os.register_at_fork(after_in_child=lambda: _each(Worker.after_fork))
# Not `atexit`: by then no executor takes work any more, and the spool needs one. These run last in, first out: before
# that of concurrent.futures, which is imported above.
threading._register_atexit(lambda: _each(Worker.close))  # type: ignore[attr-defined]  # noqa: SLF001
