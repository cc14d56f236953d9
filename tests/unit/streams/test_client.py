"""What goes wrong with Kafka reaches the user as one of our errors, in a sentence with the fix."""

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.errors import (
    BrokerUnavailableError,
    FatalError,
    MalformedEventError,
    NextstateError,
    RetryableError,
    SettingsError,
)
from streams.admin import wait_for_broker
from streams.client import FencedError, RestartNeededError, as_ours, open_client
from streams.config import KafkaConfig


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, FatalError),
        (KafkaError.MSG_SIZE_TOO_LARGE, MalformedEventError),
        (KafkaError.SASL_AUTHENTICATION_FAILED, FatalError),
        (KafkaError._FENCED, FencedError),  # an outage that outlasts a transaction does it, too
        (KafkaError.FENCED_INSTANCE_ID, FatalError),  # only another process does
        (KafkaError._FATAL, RestartNeededError),
        (KafkaError._ALL_BROKERS_DOWN, BrokerUnavailableError),
        (KafkaError._MSG_TIMED_OUT, BrokerUnavailableError),
        (KafkaError.NOT_ENOUGH_REPLICAS, BrokerUnavailableError),
    ],
)
def test_each_of_kafkas_errors_gets_the_policy_of_its_branch(code: int, ours: type[NextstateError]) -> None:
    for error in (KafkaError(code), KafkaException(KafkaError(code))):
        found = as_ours(error, "Sending to topic 'actions'")
        assert type(found) is ours
        assert str(found).startswith("Sending to topic 'actions' ")


def test_what_only_a_new_process_gets_over_is_retried_by_one() -> None:
    lost = KafkaError(KafkaError.INVALID_PRODUCER_EPOCH, fatal=True)
    assert isinstance(as_ours(lost, "Sending"), RetryableError)
    fenced = KafkaError(KafkaError._FENCED, fatal=True)
    assert isinstance(as_ours(fenced, "Sending"), RetryableError)


def test_a_broker_that_is_not_named_is_a_setting_to_mend() -> None:
    with pytest.raises(SettingsError, match=r"kafka\.bootstrap_servers"):
        open_client(Producer, KafkaConfig())


def test_a_setting_that_librdkafka_does_not_know_is_named() -> None:
    config = KafkaConfig(bootstrap_servers="127.0.0.1:1", client={"no.such.setting": "1"})
    with pytest.raises(SettingsError, match=r"no\.such\.setting"):
        open_client(Producer, config)


def test_the_users_settings_win_over_ours() -> None:
    asked: dict[str, object] = {}

    def make(settings: dict[str, object], logger: object) -> None:
        asked.update(settings)

    open_client(make, KafkaConfig(bootstrap_servers="b:1", client={"linger.ms": "50"}), {"linger.ms": 5, "acks": "all"})
    assert (asked["linger.ms"], asked["acks"], asked["bootstrap.servers"]) == ("50", "all", "b:1")


def test_waiting_for_a_broker_that_is_not_there_ends_in_time_and_names_the_address() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"127\.0\.0\.1:1 within 0\.1 s"):
        wait_for_broker(KafkaConfig(bootstrap_servers="127.0.0.1:1"), 0.1)
