"""`LogTail`: the records of a topic, or the newest of them, read when they are needed, and each once.

For who needs a little of the log now and then: its connection stays open, and between two readings nothing is fetched.
Owns its place in each partition, and Kafka's client. Blocking, for one thread; another one may stop it.
"""

import threading
import time
from collections.abc import Collection, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.errors import BrokerUnavailableError
from streams.client import CONSUMER, as_ours, open_client
from streams.config import KafkaConfig
from streams.consumer import READER, arrived, is_end, is_record
from streams.topics import Topic

_SMALL = {"queued.max.messages.kbytes": 16_384, "fetch.message.max.bytes": 1_048_576}  # memory of a partition's fetches

_PAUSE_S = 0.1


class LogTail:
    """Args: max_records: of a partition at first (None: all); timeout_s: of a reading; stop: once set, none begins."""

    def __init__(
        self, config: KafkaConfig, topic: Topic, *, max_records: int | None, timeout_s: float, stop: threading.Event
    ) -> None:
        self._config = config
        self._topic = topic
        self._max_records = max_records
        self._timeout_s = timeout_s
        self._stop = stop
        self._consumer: Any = None  # opened by the first reading
        self._next: dict[int, int] = {}  # the offset to read, by partition

    def new_records(self, partitions: Collection[int]) -> Iterator[Any]:
        """The messages, as librdkafka gives them, that nobody has read yet, up to those committed at the call.

        Raises:  BrokerUnavailableError: not all came in time, or before the stop; what is read is read. FatalError: not
                 allowed, no topic.
        """
        deadline = time.monotonic() + self._timeout_s  # of all together: records that keep coming are no reason to stay
        if self._consumer is None:
            self._consumer = open_client(Consumer, self._config, CONSUMER, READER, _SMALL)
        name = self._config.topic(self._topic.name)
        begins = [TopicPartition(name, number, self._begin(name, number, deadline)) for number in partitions]
        self._consumer.assign(begins)
        left = set(partitions)
        try:
            while left:
                self._refuse_more(deadline)
                for message in arrived(self._consumer):
                    if is_record(message):
                        self._next[message.partition()] = message.offset() + 1
                        yield message
                    elif is_end(message):
                        left.discard(message.partition())
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Let go of the client."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _refuse_more(self, deadline: float) -> None:
        if self._stop.is_set():
            raise BrokerUnavailableError("Kafka had not sent all when reading was stopped.")
        if time.monotonic() > deadline:
            message = f"Kafka did not send all within {self._timeout_s:g} s."
            raise BrokerUnavailableError(message)

    def _begin(self, name: str, number: int, deadline: float) -> int:
        if number not in self._next:
            oldest, end = self._ends(TopicPartition(name, number), deadline)
            self._next[number] = oldest if self._max_records is None else max(oldest, end - self._max_records)
        return self._next[number]

    def _ends(self, place: TopicPartition, deadline: float) -> tuple[int, int]:
        while True:
            self._refuse_more(deadline)
            try:
                left_s = max(0.0, deadline - time.monotonic())
                ends: tuple[int, int] = self._consumer.get_watermark_offsets(place, timeout=left_s)
            except KafkaException as error:
                ours = as_ours(error, f"Asking Kafka for the end of topic {self._topic.name!r}")
                if not isinstance(ours, BrokerUnavailableError) or time.monotonic() > deadline:
                    raise ours from error
                time.sleep(_PAUSE_S)  # the partition is moving to another leader
            else:
                return ends
