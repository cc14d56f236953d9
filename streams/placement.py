"""`check_placement`: every record lies in the topic, under the key and in the partition that its event says.

Joined topics rely on it: one conversation is in one partition number everywhere. Producers in other languages may get
key or partitioner wrong; such a record is a rejection, not a wrong join.
"""

from functools import lru_cache

from aiokafka.partitioner import murmur2  # the very function by which Faust's producers place records

from schemas.errors import MalformedEventError
from schemas.events import Event
from streams.topics import Topic

_KEYS = 16_384  # that are remembered, 4 MB: murmur2 is written in Python, and a conversation's records come close by


@lru_cache(maxsize=_KEYS)
def partition_of(key: bytes, num_partitions: int) -> int:
    """Where the Java client, librdkafka's `murmur2_random` and aiokafka put a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % num_partitions)


def check_placement(topic: Topic, partition: int, key: bytes | None, event: Event) -> None:
    """Raises MalformedEventError where the record is misplaced, naming what it should have been."""
    if type(event) not in topic.types:
        message = f"{type(event).__name__} {event.id} does not belong on topic {topic.name!r}."
        raise MalformedEventError(message)
    expected_key = topic.key(event).encode()
    if (key or b"") != expected_key:
        message = (
            f"{type(event).__name__} {event.id} has the key {key!r} on {topic.name!r}; it must be {expected_key!r}."
        )
        raise MalformedEventError(message)
    if expected_key and partition != (expected := partition_of(expected_key, topic.partitions)):
        message = (
            f"{type(event).__name__} {event.id} lies in partition {partition} of {topic.name!r}, its key belongs in "
            f"{expected}; set the producer's partitioner to murmur2_random."
        )
        raise MalformedEventError(message)
