"""`Loader`: many records into Kafka, one after the other, as fast as it takes them.

For work that is done again as a whole where it fails: nobody waits for a single record. Owns one librdkafka producer.
Consumes encoded records; unblocked by Kafka's acknowledgements when more wait than librdkafka holds.
"""

from typing import Any

from confluent_kafka import KafkaException, Producer

from schemas.errors import BrokerUnavailableError
from streams.client import PRODUCER, as_ours, open_client
from streams.codec import Encoded
from streams.config import KafkaConfig
from streams.topics import Topic

_FLUSH_S = 60.0
_POLL_S = 0.1
BY_KEY = -1  # librdkafka's "let the partitioner choose"


class Loader:
    """Each partition takes its records in the order of the calls. Blocking; not for several threads."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._client = open_client(Producer, config, PRODUCER)
        self._failures: list[Any] = []

    def load(self, topic: Topic, record: Encoded, timestamp_ms: int, partition: int = BY_KEY) -> None:
        """Hands a record over; waits while too many are under way.

        Raises:  FatalError: no such topic, or not allowed; RejectedError: it is too large.
        """
        while True:
            try:
                self._client.produce(
                    self._config.topic(topic.name),
                    partition=partition,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    timestamp=timestamp_ms,
                    on_delivery=self._hear,
                )
            except BufferError:
                self._client.poll(_POLL_S)  # until there is room
            except KafkaException as error:
                raise as_ours(error, f"Sending a record to {topic.name!r}") from error
            else:
                self._client.poll(0)
                return

    def finish(self) -> None:
        """Waits until all that was handed over is safe.

        Raises:  BrokerUnavailableError: some of it is not.
        """
        num_left = self._client.flush(_FLUSH_S)
        if num_left or self._failures:
            reason = f": {self._failures[0].str()}" if self._failures else ""
            self._failures.clear()
            raise BrokerUnavailableError(f"Kafka did not take all records{reason}.")

    def _hear(self, error: Any, _: Any) -> None:
        if error is not None:
            self._failures.append(error)
