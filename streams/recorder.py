"""`Recorder`: returns only when an event is safe, in Kafka or in the local spool (design promise 1).

Dataflow: record ──► Kafka, waiting up to `deadline_s` for the acknowledgement
                └──► spool, after a missed deadline, and at once from then on until the spool is delivered
          drain  ──► spooled records to Kafka, in order; the first one's acknowledgement is how the broker is known to
                     be back. Unblocked by: a record in the spool.
An event whose deadline was missed may arrive twice, under one id.
"""

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Literal

import msgspec

from schemas.errors import NextstateError, RejectedError
from schemas.events import Event
from streams.codec import Encoded
from streams.producer import EventProducer, Placed
from streams.spool import Spool
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


class Recorder:
    """Records events through one producer and one spool, whose file it opens in `start` and closes in `close`."""

    def __init__(self, producer: EventProducer, spool: Spool, deadline_s: float) -> None:
        self._producer = producer
        self._spool = spool
        self._deadline_s = deadline_s
        self._healthy = True
        self._filled = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None

    @property
    def healthy(self) -> bool:
        """Whether events go straight to Kafka."""
        return self._healthy

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
        self._drain = asyncio.create_task(self._deliver_spooled(), name="drain-spool")

    async def close(self) -> None:
        """Stop delivering; what is still in the spool waits there for the next start."""
        if self._drain is not None:
            self._drain.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._drain
        await asyncio.to_thread(self._spool.close)

    async def record(self, topic: Topic, event: Event) -> Literal["kafka", "spool"]:
        """Make an event safe, and say where it is.

        Raises:  RejectedError: it cannot be encoded; SpoolFullError: Kafka is away and the spool full: it is not safe.
        """
        encoded = self._producer.prepare(topic, event)
        if self._healthy and await self._acknowledged(topic, encoded):
            return "kafka"
        spooled = msgspec.msgpack.encode(_Spooled(topic.name, encoded.key, encoded.value, encoded.headers))
        await asyncio.to_thread(self._keep, spooled, asyncio.get_running_loop())
        return "spool"

    def _keep(self, spooled: bytes, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._spool.append(spooled)
        finally:  # in the thread: also where the caller was cancelled; and on a full disk Kafka must be tried again
            loop.call_soon_threadsafe(self._filled.set)

    async def _acknowledged(self, topic: Topic, encoded: Encoded) -> bool:
        try:
            await asyncio.wait_for(self._producer.send_nowait(topic, encoded), self._deadline_s)
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
        if self._healthy:
            _LOGGER.warning("events go to the spool: %s", reason)
        self._healthy = False

    async def _deliver_spooled(self) -> None:
        while True:
            await self._filled.wait()
            try:
                await self._deliver_chunk()
            except (NextstateError, OSError) as error:
                _LOGGER.warning("the spool waits: %s", error)
                await asyncio.sleep(_BACKOFF_S)
                continue
            # Only now, not at the first acknowledgement: a conversation's later events stay behind its earlier ones.
            if not self._spool.pending_bytes:
                self._filled.clear()
                self._healthy = True
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
            await asyncio.to_thread(self._spool.drop, chunk[-1][0])

    def _send_spooled(self, raw: bytes) -> "asyncio.Future[Placed]":
        spooled = msgspec.msgpack.decode(raw, type=_Spooled)
        record = Encoded(key=spooled.key, value=spooled.value, headers=spooled.headers)
        return self._producer.send_nowait(BY_NAME[spooled.topic], record)
