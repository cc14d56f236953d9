"""The topic table holds what processors and replay rely on."""

import pytest

from schemas.events import EVENT_TYPES
from streams.config import KafkaConfig
from streams.topics import BY_NAME, CONVERSATION_PARTITIONS, TOPICS, by_conversation


def test_every_event_has_a_topic() -> None:
    assert {event for topic in TOPICS for event in topic.types} == set(EVENT_TYPES)


def test_topics_that_are_joined_have_equal_partition_counts() -> None:
    assert {topic.partitions for topic in TOPICS if topic.key is by_conversation} == {CONVERSATION_PARTITIONS}


def test_no_two_topics_share_a_name() -> None:
    assert len(BY_NAME) == len(TOPICS)


def test_a_prefix_keeps_stacks_apart() -> None:
    assert KafkaConfig(topic_prefix="mine.").topic("actions") == "mine.actions"


@pytest.mark.parametrize(("replication_factor", "copying"), [(1, {}), (2, {}), (3, {"min.insync.replicas": "2"})])
def test_where_there_are_three_copies_two_must_have_what_is_acknowledged(
    replication_factor: int, copying: dict[str, str]
) -> None:
    assert KafkaConfig(replication_factor=replication_factor).copying == copying
