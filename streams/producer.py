"""`EventProducer`: events into Kafka, acknowledged by all replicas, in order, once per send.

Owns one librdkafka producer, its stamps, and the thread that hears delivery reports and hands each to the asyncio
future of its send. librdkafka itself never gives up on a record: a caller that stops waiting may see it arrive later,
under the same id. So a number is never stamped on a record that is then dropped, and an audit can trust gaps.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, Producer

from schemas.errors import BrokerUnavailableError, NextstateError
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
        """The record of an event, without a stamp, for a caller that must keep it until it is acknowledged.

        Raises:  RejectedError: it cannot be encoded.
        """
        return encode(topic, event, self._instance)

    @contextlib.contextmanager
    def stamped(self, record: Encoded) -> Iterator[Encoded]:
        """The record with the next number. Where the block fails to take it, the number is free again."""
        seq = self._stamper.next_seq
        try:
            yield self._stamper.stamp(record)
        except NextstateError:
            self._stamper.rewind(seq)
            raise

    def send_nowait(self, topic: Topic, encoded: Encoded) -> "asyncio.Future[Placed]":
        """Hand over a record; stamped if it is not yet. The future is done when Kafka has acknowledged it.

        Raises:  the record was not taken. BrokerUnavailableError: too many wait for Kafka already; RejectedError: it
                 is too large; RestartNeededError, FatalError: this client cannot send any more.
        """
        if read_stamp(encoded.headers):
            return self._hand_over(topic, encoded)
        with self.stamped(encoded) as record:
            return self._hand_over(topic, record)

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Wait for what is under way, up to `timeout_s`, and end."""
        if self._client is None:
            return
        client, poller = self._client, self._poller
        num_left = await asyncio.to_thread(client.flush, timeout_s)
        if num_left:
            _LOGGER.warning("closing with %d records that Kafka has not acknowledged", num_left)
            client.purge()
            await asyncio.to_thread(client.flush, _POLL_S)  # tells the futures
        self._closing.set()
        if poller is not None:
            await asyncio.to_thread(poller.join)
        self._client = None

    def _hand_over(self, topic: Topic, record: Encoded) -> "asyncio.Future[Placed]":
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[Placed] = loop.create_future()

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
            message = f"Sending to topic {topic.name!r} failed, too many records already wait for Kafka; is it running?"
            raise BrokerUnavailableError(message) from error
        except KafkaException as error:
            raise as_ours(error, f"Sending to topic {topic.name!r}") from error
        return sent

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
