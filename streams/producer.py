"""`EventProducer`: events into Kafka, acknowledged by all replicas, in order, once per send.

Owns one librdkafka producer, its stamps, and the thread that hears delivery reports and hands each to the asyncio
future of its send. librdkafka itself never gives up on a record: a caller that stops waiting may see it arrive later,
under the same id. So a number is never stamped on a record that is then dropped, and an audit can trust gaps.
"""

import asyncio
import contextlib
import logging
import threading
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer

from schemas.errors import BrokerUnavailableError
from schemas.events import Event
from streams.client import PRODUCER, as_ours, open_client
from streams.codec import Encoded, encode
from streams.config import KafkaConfig
from streams.stamp import Stamper, read_stamp
from streams.topics import Topic

_LOGGER = logging.getLogger(__name__)

SEND_TIMEOUT_S = 30.0  # a broker that restarts or fails over is back by then
CLOSE_TIMEOUT_S = 10.0
_POLL_S = 0.1
_NEVER_GIVE_UP = {"message.timeout.ms": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where Kafka has put a record."""

    topic: str  # without prefix
    partition: int
    offset: int


class EventProducer:
    """Sends events from one asyncio loop; `instance` names the process ("gateway-0")."""

    def __init__(self, config: KafkaConfig, instance: str) -> None:
        self._config = config
        self._instance = instance
        self._stamper = Stamper(instance)
        self._client: Any = None  # opened by the first send
        self._poller: threading.Thread | None = None
        self._closing = threading.Event()

    async def send(self, topic: Topic, event: Event) -> Placed:
        """Send an event and wait until it is safe.

        Raises:  BrokerUnavailableError: not acknowledged in time (it may still arrive); RejectedError: it cannot be
                 encoded; FatalError: no such topic, or not allowed.
        """
        sent = self.send_nowait(topic, encode(topic, event, self._instance))
        try:
            return await asyncio.wait_for(sent, SEND_TIMEOUT_S)
        except TimeoutError as error:
            message = f"Kafka did not acknowledge {event.type} {event.id} within {SEND_TIMEOUT_S:g} s; is it running?"
            raise BrokerUnavailableError(message) from error

    def prepare(self, topic: Topic, event: Event) -> Encoded:
        """The stamped record of an event, for a caller that must keep it until it is acknowledged."""
        return self._stamper.stamp(encode(topic, event, self._instance))

    def send_nowait(self, topic: Topic, encoded: Encoded) -> "asyncio.Future[Placed]":
        """Hand over a record; stamped if it is not yet. The future is done when Kafka has acknowledged it.

        Raises:  BrokerUnavailableError: too many records wait for Kafka already; this one was not taken.
        """
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[Placed] = loop.create_future()
        first_seq = self._stamper.next_seq
        record = encoded if read_stamp(encoded.headers) else self._stamper.stamp(encoded)

        def report(error: Any, message: Any) -> None:  # runs in the polling thread
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, sent, topic, error, message)

        try:
            self._opened().produce(
                self._config.topic(topic.name),
                key=record.key,
                value=record.value,
                headers=record.headers,
                on_delivery=report,
            )
        except BufferError as error:
            self._stamper.rewind(first_seq)
            message = f"Sending to topic {topic.name!r} failed, too many records already wait for Kafka; is it running?"
            raise BrokerUnavailableError(message) from error
        return sent

    async def close(self) -> None:
        """Wait for what is under way, up to `CLOSE_TIMEOUT_S`, and end."""
        if self._client is None:
            return
        client, poller = self._client, self._poller
        num_left = await asyncio.to_thread(client.flush, CLOSE_TIMEOUT_S)
        if num_left:
            _LOGGER.warning("closing with %d records that Kafka has not acknowledged", num_left)
            client.purge()
            await asyncio.to_thread(client.flush, _POLL_S)  # tells the futures
        self._closing.set()
        if poller is not None:
            await asyncio.to_thread(poller.join)
        self._client = None

    def _opened(self) -> Any:
        if self._client is None:
            self._closing.clear()
            self._client = open_client(Producer, self._config, PRODUCER, _NEVER_GIVE_UP)
            self._poller = threading.Thread(target=self._poll, args=(self._client,), name="kafka-poll", daemon=True)
            self._poller.start()
        return self._client

    def _poll(self, client: Any) -> None:
        while not self._closing.is_set():
            client.poll(_POLL_S)


def _settle(sent: "asyncio.Future[Placed]", topic: Topic, error: Any, message: Any) -> None:
    if sent.done():  # the sender stopped waiting
        return
    if error is not None:
        sent.set_exception(as_ours(error, f"Sending to topic {topic.name!r}"))
    else:
        sent.set_result(Placed(topic=topic.name, partition=message.partition(), offset=message.offset()))
