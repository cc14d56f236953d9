"""`create_topics` and `verify_topics`: the topics of streams/topics.py on a real broker, exactly as declared.

Blocking; called once at start. Partition counts and limits are part of the contract with producers in any language, so
a topic that differs stops the start with the fix, rather than joining wrongly. `partitions_of` says who has what.
"""

import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic

from schemas.errors import BrokerUnavailableError, FatalError
from streams.asking import BrokerQuestions
from streams.client import as_ours
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
            config=settings_of(topic) | config.copying,
        )
        for topic in TOPICS
    ]
    admin = BrokerQuestions(config).client  # kept until the answers are in: its end would cut them off
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
    questions = BrokerQuestions(config)
    existing = questions.topics(_REQUEST_TIMEOUT_S)
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
    _verify_settings(config, questions.client)


def wait_for_broker(config: KafkaConfig, timeout_s: float) -> None:
    """Return as soon as a broker answers.

    Raises:  BrokerUnavailableError: none did in time; FatalError: it refuses us, or we it; the sentence says why.
    """
    try:
        BrokerQuestions(config).topics(timeout_s)
    except BrokerUnavailableError as error:
        message = f"No Kafka broker answered at {config.bootstrap_servers} within {timeout_s:g} s; is it running?"
        raise BrokerUnavailableError(message) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Which brokers have one partition, by node id."""

    topic: str  # as the broker names it
    number: int
    leader: int  # -1: none at the moment
    replicas: frozenset[int]
    in_sync: frozenset[int]  # of the replicas: they have all that is acknowledged


def partitions_of(config: KafkaConfig) -> list[Partition]:
    """Every partition that there is, those of Kafka's own topics and of tables among them, as a broker knows it now.

    Raises:  BrokerUnavailableError.
    """
    return [
        Partition(
            topic=name,
            number=number,
            leader=found.leader,
            replicas=frozenset(found.replicas),
            in_sync=frozenset(found.isrs),
        )
        for name, topic in BrokerQuestions(config).topics(_REQUEST_TIMEOUT_S).items()
        for number, found in topic.partitions.items()
    ]


def _wait_for_leaders(config: KafkaConfig) -> None:
    """A topic just created answers "not leader" for a moment."""
    questions, deadline = BrokerQuestions(config), time.monotonic() + _REQUEST_TIMEOUT_S
    names = {config.topic(topic.name) for topic in TOPICS}
    while True:
        found = questions.topics(_REQUEST_TIMEOUT_S)
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
                raise _other(name, setting, actual, wanted)
        for setting, wanted in config.copying.items():
            if int(actual := entries[setting].value) < int(wanted):
                raise _other(name, setting, actual, wanted)


def _other(name: str, setting: str, actual: str, wanted: str) -> FatalError:
    return FatalError(f"Topic {name!r} has {setting}={actual}; set it to {wanted} with kafka-configs.")
