"""`Worker`: what a program's recorder was told, on its way to Kafka, in a thread of its own.

    put ──► record_queue.py ──► every 50 ms: record_writer.py ──► Kafka, or the spool

Owns the queue, the thread and its event loop. Nothing here is raised into the program: what cannot be recorded is
counted, and the first of its kind is logged. Unblocked by: the clock.

The thread begins with the first item, also in a forked child, whose parent's thread it does not have.
"""

import asyncio
import logging
import os
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from streams.config import KafkaConfig
from streams.record_queue import RecordQueue
from streams.record_writer import CLOSE_S, Item, Kind, Limits, RecordWriter

__all__ = ["Limits", "Worker"]

_LOGGER = logging.getLogger("nextstate.recorder")
BATCH_S = 0.05  # what is told in this time goes to Kafka together
AT_ONCE = 256  # items
_LOOKING = 0.4  # of the time to close; then nothing is read back any more, and all that is left is made safe
_MEANS: Mapping[Kind, str] = {
    "dropped": "a turn is not recorded",
    "failed": "a turn is not recorded",
    "unmatched": "a turn is recorded by itself",
    "unread": "what other processes have recorded is not known",
    "undelivered": "what is in the spool waits for another client of Kafka's",
}
_NO_ROOM = "more is told than can be recorded (see `Limits`), or the recorder is closed"


@dataclass(slots=True)
class _Flush:
    """Everything put before it is done when the worker meets it."""

    reached: threading.Event = field(default_factory=threading.Event)
    is_safe: bool = False
    bulk: tuple[object, ...] = ()

    def reach(self) -> None:
        self.is_safe = True
        self.reached.set()


class Worker:
    """Records items in the background. Safe for several threads. Args: folder: for all spools."""

    def __init__(self, kafka: KafkaConfig, folder: Path, limits: Limits) -> None:
        self._kafka = kafka
        self._folder = folder
        self._limits = limits
        self.counts: Counter[str] = Counter()  # kafka, spool: events; the others: `Kind`
        self._closed = False
        self._begin()
        _LIVE.add(self)

    def _begin(self) -> None:
        self._queue: RecordQueue[Item | _Flush] = RecordQueue(self._limits.max_queued, self._limits.max_queued_bytes)
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._hurry = threading.Event()  # nothing is read back any more
        self._taken: deque[Item | _Flush] = deque()  # from the queue
        self._in_hand: deque[Item] = deque()  # of the writer, and not safe yet
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

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Record what is left, as far as the time goes, and end the thread; what it has not done then is counted."""
        self._closed = True
        self._stop.set()
        if self._thread is not None:
            deadline = time.monotonic() + timeout_s
            self._thread.join(timeout_s * _LOOKING)
            self._hurry.set()
            self._thread.join(max(0.0, deadline - time.monotonic()))
        num_left = len(self._queue) + len(self._taken) + len(self._in_hand)
        if num_left and self in _LIVE:
            self.counts["dropped"] += num_left
            _LOGGER.warning("closing with %d items that are not recorded", num_left)
        _LIVE.discard(self)

    def trouble(self, kind: Kind, reason: object) -> None:
        """Count something that went wrong; the first of a kind is logged."""
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            _LOGGER.warning("%s: %s (more of this kind are only counted)", _MEANS[kind], reason)

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
        writing = RecordWriter(self._kafka, self._folder, self._limits, self.trouble, stop=self._hurry)
        async with writing as writer:
            weighing = asyncio.create_task(self._keep_weighing())
            while self._queue or not self._stop.is_set():
                self._weigh()
                self._taken.extend(self._queue.take(AT_ONCE))
                if not self._taken:
                    await asyncio.sleep(BATCH_S)
                await self._write(writer)
            weighing.cancel()

    def _weigh(self) -> None:
        for _ in range(self._queue.weigh()):
            self.trouble("dropped", _NO_ROOM)

    async def _keep_weighing(self) -> None:
        while True:  # also while the other task waits for Kafka
            self._weigh()
            await asyncio.sleep(BATCH_S)

    async def _write(self, writer: RecordWriter) -> None:
        while self._taken:
            item = self._taken.popleft()
            if isinstance(item, _Flush):
                await writer.write(self._in_hand, self.counts)
                item.reach()
            else:
                self._in_hand.append(item)
        await writer.write(self._in_hand, self.counts)


_LIVE: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def _each(do: Callable[[Worker], None]) -> None:
    for worker in tuple(_LIVE):
        do(worker)


os.register_at_fork(after_in_child=lambda: _each(Worker.after_fork))
# Not `atexit`: by then no executor takes work any more, and the spool needs one. These run last in, first out: before
# that of concurrent.futures, which is imported above.
threading._register_atexit(lambda: _each(Worker.close))  # type: ignore[attr-defined]  # noqa: SLF001
