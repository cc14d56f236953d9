"""`group_lags`: how many records each consumer group has still to read; `committed_offsets`: where one of them is."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.client import as_ours, open_client
from streams.config import KafkaConfig

_REQUEST_TIMEOUT_S = 10.0


def group_lags(config: KafkaConfig) -> dict[str, int]:
    """Records between what a group has committed and the end, by group; only groups of this topic prefix.

    Raises:  BrokerUnavailableError; FatalError: the broker refuses.
    """
    admin = open_client(AdminClient, config)
    try:
        listed = admin.list_consumer_groups(request_timeout=_REQUEST_TIMEOUT_S).result()
        groups = sorted(group.group_id for group in listed.valid if group.group_id.startswith(config.topic_prefix))
        committed = {group: _committed(admin, group) for group in groups}
        ends = _ends(admin, {place for places in committed.values() for place in places})
    except KafkaException as error:
        raise as_ours(error, "Asking Kafka how far its consumer groups are") from error
    return {
        group.removeprefix(config.topic_prefix): sum(
            max(ends[place] - offset, 0) for place, offset in committed[group].items()
        )
        for group in groups
    }


def committed_offsets(config: KafkaConfig, group: str) -> dict[tuple[str, int], int]:
    """Behind what a group has finished: offset by topic (without prefix) and partition.

    Raises:  as `group_lags`.
    """
    try:
        found = _committed(open_client(AdminClient, config), config.topic_prefix + group)
    except KafkaException as error:
        raise as_ours(error, f"Asking Kafka how far group {group!r} is") from error
    return {(topic.removeprefix(config.topic_prefix), number): offset for (topic, number), offset in found.items()}


def _committed(admin: Any, group: str) -> dict[tuple[str, int], int]:
    # One group a request: librdkafka takes no more.
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=_REQUEST_TIMEOUT_S)
    found = asked[group].result().topic_partitions
    return {(place.topic, place.partition): max(place.offset, 0) for place in found}


def _ends(admin: Any, places: set[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
    if not places:
        return {}
    asked = {TopicPartition(*place): OffsetSpec.latest() for place in places}
    answers = admin.list_offsets(asked, request_timeout=_REQUEST_TIMEOUT_S)
    return {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}
