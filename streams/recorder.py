"""`Recorder`: returns only when an event is safe, in Kafka or in the local spool (design promise 1).

Dataflow: record ──► Kafka, waiting up to `deadline_s` for the acknowledgement
                └──► spool, after a missed deadline, and at once from then on until the spool is delivered
          drain  ──► spooled records to Kafka, in order; the first one's acknowledgement is how the broker is known to
                     be back. Unblocked by: a record in the spool.
An event whose deadline was missed may arrive twice, under one id. It gets its producer's number when Kafka's client or
the spool takes it, so that one that nobody took leaves no gap.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import msgspec

from schemas.errors import FatalError, NextstateError, RejectedError, RetryableError, SpoolFullError
from schemas.events import Event
from streams.client import RestartNeededError
from streams.codec import Encoded, decode
from streams.failpoints import failpoint
from streams.producer import EventProducer, Placed
from streams.spool import Spool
from streams.stamp import read_stamp
from streams.topics import BY_NAME, Topic

_LOGGER = logging.getLogger(__name__)
_CHUNK_RECORDS = 256  # delivered at a time, or _CHUNK_BYTES where that is less; what a crash may deliver twice
_CHUNK_BYTES = 8 * 1024 * 1024  # held in memory until Kafka answers
_BACKOFF_S = 1.0


class _Spooled(msgspec.Struct, array_like=True, frozen=True):
    """A record as the spool keeps it."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A record on its way into the spool; `kept` is done when it is there, or cannot be."""

    topic: Topic
    record: Encoded
    kept: "asyncio.Future[None]"

    def settle(self, refused: Exception | None) -> None:
        """Tell who waits, if it has not been told, nor gone."""
        if self.kept.done():
            return
        if refused is None:
            self.kept.set_result(None)
        else:
            self.kept.set_exception(refused)


class Recorder:
    """Records events through one producer and one spool, whose file it opens in `start` and closes in `close`."""

    def __init__(self, producer: EventProducer, spool: Spool, deadline_s: float) -> None:
        self._producer = producer
        self._spool = spool
        self._deadline_s = deadline_s
        self._healthy = asyncio.Event()
        self._healthy.set()
        self._filled = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None
        self._waiting: list[_Waiting] = []
        self._keeping: asyncio.Task[None] | None = None
        self._numbering = asyncio.Lock()  # from numbers to their places in the spool: no other takes one

    @property
    def healthy(self) -> bool:
        """Whether events go straight to Kafka."""
        return self._healthy.is_set()

    @property
    def spooled_bytes(self) -> int:
        """Bytes that wait in the spool for Kafka."""
        return self._spool.pending_bytes

    async def __aenter__(self) -> "Recorder":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Open the spool, and begin to deliver what an earlier process left in it.

        Raises:  FatalError: the spool cannot be used.
        """
        await asyncio.to_thread(self._spool.open)
        if self._spool.pending_bytes:
            self._spool_from_now_on("an earlier process left records in the spool")
            self._filled.set()
        self.resume()

    def resume(self) -> None:
        """Deliver what is spooled, again where `until_failed` has raised: then its producer must have been closed."""
        if self._drain is None or self._drain.done():
            self._drain = asyncio.create_task(self._deliver_spooled(), name="drain-spool")

    async def close(self) -> None:
        """Stop delivering; what is still in the spool waits there for the next start."""
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.wait({self._drain})
        if self._keeping is not None:  # for callers that have left
            await asyncio.wait({self._keeping})
        await asyncio.to_thread(self._spool.close)

    async def until_failed(self) -> None:
        """Runs as long as the spool can be delivered, now or later.

        Raises:  RestartNeededError, or a defect: nothing is delivered any more; what is spooled stays.
        """
        if self._drain is not None:
            await asyncio.shield(self._drain)

    async def until_healthy(self) -> None:
        """Wait until the spool is delivered, and events go straight to Kafka. Raises: as `until_failed`."""
        healthy, failed = (asyncio.create_task(until) for until in (self._until_delivered(), self.until_failed()))
        try:
            done, _ = await asyncio.wait({healthy, failed}, return_when=asyncio.FIRST_COMPLETED)
            (failed if failed in done else healthy).result()
        finally:
            healthy.cancel()
            failed.cancel()

    async def _until_delivered(self) -> None:
        await self._healthy.wait()

    def pending(self) -> list[Event]:
        """The events in the spool, oldest first; some may be delivered meanwhile. Blocking."""
        events = []
        for _, raw in self._spool.replay():
            spooled = msgspec.msgpack.decode(raw, type=_Spooled)
            try:
                events.append(decode(spooled.headers, spooled.value))
            except RejectedError as error:
                _LOGGER.warning("a spooled event is not understood: %s", error)
        return events

    async def record(self, topic: Topic, event: Event) -> Literal["kafka", "spool"]:
        """Make an event safe, and say where it is.

        Raises:  RejectedError: it cannot be encoded; SpoolFullError: Kafka is away and the spool full: it is not safe.
        """
        record = self._producer.prepare(topic, event)
        failpoint("gateway.before-emit")
        if self.healthy:
            try:
                with self._producer.stamped(record) as stamped:
                    sent = self._producer.send_nowait(topic, stamped)
            except RejectedError:
                raise
            except NextstateError as error:
                self._spool_from_now_on(str(error))
            else:
                failpoint("gateway.emitted")
                if await self._acknowledged(sent):
                    failpoint("gateway.acknowledged")
                    return "kafka"
                record = stamped
        await self._keep(topic, record)
        return "spool"

    async def _keep(self, topic: Topic, record: Encoded) -> None:
        """Into the spool, together with all others that wait for it: an fsync for each would take its time from all."""
        waiting = _Waiting(topic, record, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep_waiting(), name="fill-spool")
        await waiting.kept

    async def _keep_waiting(self) -> None:
        while self._waiting:
            async with self._numbering:
                self._healthy.clear()  # what is in the spool goes first
                batch, self._waiting = self._waiting[:_CHUNK_RECORDS], self._waiting[_CHUNK_RECORDS:]
                await self._keep_all(batch)

    async def _keep_all(self, batch: Sequence[_Waiting]) -> None:
        """Keep them all; where the spool has no room for all, each that it has room for."""
        refused: Exception | None = None
        try:
            with ExitStack() as numbers:  # given back, last one first, where they are not kept
                stamped = [numbers.enter_context(self._stamped(one.record)) for one in batch]
                spooled = [_as_spooled(one.topic, record) for one, record in zip(batch, stamped, strict=True)]
                await asyncio.to_thread(self._append, spooled, asyncio.get_running_loop())
        except SpoolFullError as error:
            refused = error
            for one in batch if len(batch) > 1 else ():
                await self._keep_all([one])
        except Exception as error:  # a defect: those who wait must hear of it
            refused = error
        for one in batch:
            one.settle(refused)

    def _stamped(self, record: Encoded) -> AbstractContextManager[Encoded]:
        return nullcontext(record) if read_stamp(record.headers) else self._producer.stamped(record)

    def _append(self, spooled: Sequence[bytes], loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._spool.append(*spooled)
        finally:  # in the thread: also where the caller was cancelled; and on a full disk Kafka must be tried again
            loop.call_soon_threadsafe(self._filled.set)

    async def _acknowledged(self, sent: "asyncio.Future[Placed]") -> bool:
        try:
            await asyncio.wait_for(sent, self._deadline_s)
        except RejectedError:
            raise
        except TimeoutError:
            self._spool_from_now_on(f"Kafka did not acknowledge within {self._deadline_s:g} s")
        except NextstateError as error:
            self._spool_from_now_on(str(error))
        else:
            return True
        return False

    def _spool_from_now_on(self, reason: str) -> None:
        if self.healthy:
            _LOGGER.warning("events go to the spool: %s", reason)
        self._healthy.clear()

    async def _deliver_spooled(self) -> None:
        while True:
            await self._filled.wait()
            try:
                await self._deliver_chunk()
            except RestartNeededError:
                raise
            except (RetryableError, FatalError, OSError) as error:  # the spool works: serving need not end for Kafka
                _LOGGER.warning("the spool waits: %s", error)
                await asyncio.sleep(_BACKOFF_S)
                continue
            # Only now, not at the first acknowledgement: a conversation's later events stay behind its earlier ones.
            async with self._numbering:
                if not self._spool.pending_bytes:
                    self._filled.clear()
                    self._healthy.set()
                    _LOGGER.info("the spool is delivered, events go to Kafka again")

    def _oldest(self) -> list[tuple[int, bytes]]:
        chunk: list[tuple[int, bytes]] = []
        num_bytes = 0
        for position, record in self._spool.replay():
            chunk.append((position, record))
            num_bytes += len(record)
            if len(chunk) == _CHUNK_RECORDS or num_bytes >= _CHUNK_BYTES:
                break
        return chunk

    async def _deliver_chunk(self) -> None:
        """Deliver the oldest records, then drop them."""
        chunk = await asyncio.to_thread(self._oldest)
        await asyncio.gather(*[self._send_spooled(raw) for _, raw in chunk])
        if chunk:
            failpoint("spool.delivered")
            await asyncio.to_thread(self._spool.drop, chunk[-1][0])

    async def _send_spooled(self, raw: bytes) -> None:
        spooled = msgspec.msgpack.decode(raw, type=_Spooled)
        record = Encoded(key=spooled.key, value=spooled.value, headers=spooled.headers)
        try:
            await self._producer.send_nowait(BY_NAME[spooled.topic], record)
        except RejectedError as error:  # Kafka will never take it: those behind it must not wait for it
            _LOGGER.warning("a spooled event is set aside: %s", error)
            await asyncio.to_thread(self._spool.set_aside, raw)


def _as_spooled(topic: Topic, record: Encoded) -> bytes:
    return msgspec.msgpack.encode(_Spooled(topic.name, record.key, record.value, record.headers))
