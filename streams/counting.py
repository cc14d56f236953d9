"""`count_records`: the least that reading the log can cost; what other readers of it are measured against.

librdkafka fetches, checks and unpacks every committed record; nothing is looked at. Owns a consumer in no group.
"""

from collections.abc import Sequence

from confluent_kafka import Consumer, TopicPartition

from schemas.errors import BrokerUnavailableError
from streams.client import CONSUMER, open_client
from streams.config import KafkaConfig
from streams.consumer import ANSWER_TIMEOUT_S, READER
from streams.topics import Topic

_CHUNK_RECORDS = 2_000
_NO_ENDS = {"enable.partition.eof": False}  # whoever counts to a known number needs no word of an end


def count_records(config: KafkaConfig, topics: Sequence[Topic], num_records: int) -> None:
    """Reads the topics from their beginnings until `num_records` records have come.

    Raises:  BrokerUnavailableError: there are fewer, or they stopped coming for 30 s.
    """
    consumer = open_client(Consumer, config, CONSUMER, READER, _NO_ENDS)
    try:
        places = [(config.topic(topic.name), number) for topic in topics for number in range(topic.partitions)]
        consumer.assign([TopicPartition(*place, 0) for place in places])
        num_read = 0
        while num_read < num_records:
            wanted = min(_CHUNK_RECORDS, num_records - num_read)  # librdkafka waits until it has as many
            messages = consumer.consume(wanted, ANSWER_TIMEOUT_S)
            num_read += sum(message.error() is None for message in messages)
            if not messages:
                raise BrokerUnavailableError(
                    f"Kafka sent {num_read} of {num_records} records, then nothing for {ANSWER_TIMEOUT_S:g} s."
                )
    finally:
        consumer.close()
