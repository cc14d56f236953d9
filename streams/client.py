"""`open_client`: how every Kafka client of ours is set up, and what librdkafka's errors mean to us.

Owns the settings that all clients share and the one table from Kafka's error codes to schemas/errors.py. The user's
`[kafka.client]` settings go last, so SASL, TLS and tuning pass through untouched.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import (
    BrokerUnavailableError,
    FatalError,
    MalformedEventError,
    NextstateError,
    RetryableError,
    SettingsError,
)
from streams.config import KafkaConfig
from streams.topics import MAX_RECORD_BYTES, PARTITIONER

_LOGGER = logging.getLogger("streams.librdkafka")

SHARED: Mapping[str, Any] = {
    "reconnect.backoff.max.ms": 5_000,  # without a broker librdkafka would else log a line every 50 ms
    "topic.metadata.propagation.max.ms": 5_000,  # a topic that is still unknown then does not exist
    "allow.auto.create.topics": False,  # topics have fixed partitions; streams/admin.py makes them
}
PRODUCER: Mapping[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "zstd",
    "partitioner": PARTITIONER,
    "message.max.bytes": MAX_RECORD_BYTES,
    "linger.ms": 0,  # a user waits for each acknowledgement; what comes while some are under way is batched anyhow
}
CONSUMER: Mapping[str, Any] = {
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
}

_MISSING_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}  # noqa: SLF001
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}
NOT_ALLOWED = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's local codes all begin with an underscore
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
# By a newer process of the same transactional id, or by Kafka, which ends a transaction that an outage made too old.
_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}  # noqa: SLF001


class RestartNeededError(RetryableError):
    """This process's Kafka client can go no further, a new process's can: end, and let the supervisor start one."""


class FencedError(RestartNeededError):
    """A transaction was ended by Kafka, which an outage may do, or by a newer process; the next `init` goes on."""


def open_client(make: Callable[..., Any], config: KafkaConfig, *settings: Mapping[str, Any]) -> Any:
    """A Kafka client of class `make`; later settings win over earlier ones, the user's over all.

    Raises:  SettingsError: no broker is named, or librdkafka refuses a setting.
    """
    if config.bootstrap_servers is None:
        raise SettingsError("Setting kafka.bootstrap_servers is empty; name a broker, or let `nextstate up` start one.")
    merged = {"bootstrap.servers": config.bootstrap_servers, **SHARED}
    for part in (*settings, config.client):
        merged.update(part)
    try:
        return make(merged, logger=_LOGGER)
    except KafkaException as error:
        message = f"Kafka's client refuses a setting of [kafka.client]: {error.args[0].str()}."
        raise SettingsError(message) from error


def as_ours(error: KafkaException | KafkaError, doing: str) -> NextstateError:
    """The error of ours for one of Kafka's.

    Args:    doing: what was being done, to begin the sentence with, e.g. "Sending to topic 'actions'".
    """
    cause = error.args[0] if isinstance(error, KafkaException) else error
    code = cause.code()
    if code in _MISSING_TOPIC:
        return FatalError(f"{doing} failed, the broker has no such topic; `nextstate up` creates the topics.")
    if code in _TOO_LARGE:
        return MalformedEventError(f"{doing} failed, the record is too large; its limit is {MAX_RECORD_BYTES} bytes.")
    if code in NOT_ALLOWED:
        return FatalError(f"{doing} was not allowed; check the credentials in [kafka.client]: {cause.str()}.")
    if code == KafkaError.FENCED_INSTANCE_ID:
        return FatalError(f"{doing} failed, a newer process has taken over this one's name; stop one of the two.")
    if code in _FENCED:
        message = f"{doing} failed, Kafka has ended the transaction after an outage, or a newer process has begun one."
        return FencedError(message)
    if cause.fatal() or code == KafkaError._FATAL:  # noqa: SLF001
        return RestartNeededError(f"{doing} failed, and this process's Kafka client with it: {cause.str()}.")
    return BrokerUnavailableError(f"{doing} failed, Kafka did not answer in time: {cause.str()}.")
