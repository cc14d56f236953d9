"""`create_topics` and `verify_topics`: the topics of streams/topics.py on a real broker, exactly as declared.

Blocking; called once at start. Partition counts and limits are part of the contract with producers in any language, so
a topic that differs stops the start with the fix, rather than joining wrongly.
"""

import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from schemas.errors import BrokerUnavailableError, FatalError
from streams.client import as_ours, open_client
from streams.config import KafkaConfig
from streams.topics import MAX_RECORD_BYTES, TOPICS, Topic

_REQUEST_TIMEOUT_S = 30.0
_LOOK_AGAIN_S = 0.05
_ANY_TIME = str(2**63 - 1)  # a clock that jumped once must not keep a restore from ending
SEGMENT_MS = 6 * 60 * 60 * 1000  # only closed segments are deleted: words go this much later than retention says


def settings_of(topic: Topic) -> dict[str, str]:
    """The broker's settings for a topic."""
    kept = {"cleanup.policy": "compact"} if topic.compacted else {"cleanup.policy": "delete"}
    if not topic.compacted:
        kept["retention.ms"] = str(topic.retention_ms)
    if topic.retention_ms > 0 and not topic.compacted:
        kept["segment.ms"] = str(SEGMENT_MS)
    return {
        **kept,
        "max.message.bytes": str(MAX_RECORD_BYTES),
        "message.timestamp.after.max.ms": _ANY_TIME,
    }


def create_topics(config: KafkaConfig) -> None:
    """Create those topics that are not there, and wait until all can be used; those that are there stay as they are.

    Raises:  BrokerUnavailableError; FatalError: the broker refuses.
    """
    new = [
        NewTopic(
            config.topic(topic.name),
            num_partitions=topic.partitions,
            replication_factor=config.replication_factor,
            config=settings_of(topic),
        )
        for topic in TOPICS
    ]
    admin = _admin(config)  # kept until the answers are in: its end would cut them off
    for name, created in admin.create_topics(new, request_timeout=_REQUEST_TIMEOUT_S).items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise as_ours(error, f"Creating topic {name!r}") from error
    _wait_for_leaders(config)


def verify_topics(config: KafkaConfig) -> None:
    """Check that every topic is there, with its partitions and settings.

    Raises:  BrokerUnavailableError; FatalError: a topic differs; the sentence names it, and the fix.
    """
    admin = _admin(config)
    existing = _metadata(admin, _REQUEST_TIMEOUT_S).topics
    for topic in TOPICS:
        name = config.topic(topic.name)
        if name not in existing:
            message = f"Kafka has no topic {name!r}; `nextstate up` creates it."
            raise FatalError(message)
        if (found := len(existing[name].partitions)) != topic.partitions:
            message = (
                f"Topic {name!r} has {found} partitions, {topic.partitions} are needed for conversations to join; "
                "delete the topic or set another kafka.topic_prefix."
            )
            raise FatalError(message)
    _verify_settings(config, admin)


def wait_for_broker(config: KafkaConfig, timeout_s: float) -> None:
    """Return as soon as a broker answers.

    Raises:  BrokerUnavailableError: none did in time.
    """
    admin, deadline = _admin(config), time.monotonic() + timeout_s
    while True:
        try:
            _metadata(admin, 1.0)
        except BrokerUnavailableError as error:
            if time.monotonic() >= deadline:
                message = (
                    f"No Kafka broker answered at {config.bootstrap_servers} within {timeout_s:g} s; is it running?"
                )
                raise BrokerUnavailableError(message) from error
        else:
            return


def _wait_for_leaders(config: KafkaConfig) -> None:
    """A topic just created answers "not leader" for a moment."""
    admin, deadline = _admin(config), time.monotonic() + _REQUEST_TIMEOUT_S
    names = {config.topic(topic.name) for topic in TOPICS}
    while True:
        found = _metadata(admin, _REQUEST_TIMEOUT_S).topics
        ready = {name for name in names & found.keys() if all(p.leader >= 0 for p in found[name].partitions.values())}
        if ready == names:
            return
        if time.monotonic() > deadline:
            message = f"Kafka has created topic {min(names - ready)!r} but elects no leader for it; is a broker down?"
            raise BrokerUnavailableError(message)
        time.sleep(_LOOK_AGAIN_S)


def _verify_settings(config: KafkaConfig, admin: Any) -> None:
    resources = [ConfigResource(ConfigResource.Type.TOPIC, config.topic(topic.name)) for topic in TOPICS]
    futures = admin.describe_configs(resources, request_timeout=_REQUEST_TIMEOUT_S)
    found = {resource.name: future for resource, future in futures.items()}
    for topic in TOPICS:
        name = config.topic(topic.name)
        try:
            entries = found[name].result()
        except KafkaException as error:
            raise as_ours(error, f"Reading the settings of topic {name!r}") from error
        for setting in ("cleanup.policy", "max.message.bytes"):
            wanted, actual = settings_of(topic)[setting], entries[setting].value
            if actual != wanted:
                message = f"Topic {name!r} has {setting}={actual}; set it to {wanted} with kafka-configs."
                raise FatalError(message)


def _admin(config: KafkaConfig) -> Any:
    return open_client(AdminClient, config)


def _metadata(admin: Any, timeout_s: float) -> Any:
    try:
        return admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise as_ours(error, "Asking Kafka for its topics") from error
