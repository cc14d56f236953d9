"""Keys and partitions are those that every Kafka client computes."""

from dataclasses import replace

import pytest
from aiokafka.partitioner import murmur2
from example_events import ACTION

from schemas.errors import MalformedEventError
from streams.placement import check_placement, partition_of
from streams.topics import ACTIONS, FEEDBACK


# Apache Kafka's own vectors, clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java
@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_partitions_are_those_of_the_java_client(key: bytes, digest: int) -> None:
    assert (murmur2(key) - digest) % 2**32 == 0
    assert [partition_of(key, n) for n in (3, 4, 7)] == [(digest & 0x7FFFFFFF) % n for n in (3, 4, 7)]


def test_a_record_in_its_place_passes() -> None:
    check_placement(ACTIONS, partition_of(b"c-1", 4), b"c-1", ACTION)


def test_another_partition_is_a_rejection_that_says_which_is_right() -> None:
    right = partition_of(b"c-1", 4)
    with pytest.raises(MalformedEventError, match=f"belongs in {right}"):
        check_placement(ACTIONS, (right + 1) % 4, b"c-1", ACTION)


@pytest.mark.parametrize("key", [None, b"", b"c-2"])
def test_another_key_is_a_rejection(key: bytes | None) -> None:
    with pytest.raises(MalformedEventError, match="it must be b'c-1'"):
        check_placement(ACTIONS, partition_of(b"c-1", 4), key, ACTION)


def test_another_topic_is_a_rejection() -> None:
    with pytest.raises(MalformedEventError, match="does not belong on topic 'feedback'"):
        check_placement(FEEDBACK, partition_of(b"c-1", 4), b"c-1", ACTION)


def test_an_event_of_no_conversation_may_lie_anywhere() -> None:
    for partition in range(4):
        check_placement(ACTIONS, partition, None, replace(ACTION, conversation_id=""))
