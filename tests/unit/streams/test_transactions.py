"""What a transaction leaves when Kafka does not say how it ended. The real thing is in tests/integration."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import BrokerUnavailableError, NextstateError, RetryableError
from streams import transactions
from streams.client import FencedError
from streams.config import KafkaConfig
from streams.recorded import Recorded
from streams.transactions import TransactionalProducer

RECORD = Recorded(
    topic="batches", partition=0, offset=7, timestamp_ms=0, headers=[], key=b"", value=b"", event=None, error=None
)
TIMED_OUT = KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=True)


class Kafka:
    """The broker's side of both clients: one call fails with an error, all others are written down."""

    def __init__(self, failing: str, error: KafkaError) -> None:
        self.failing, self.error = failing, error
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: Any) -> None:
            self.calls.append(name)
            if name == self.failing:
                raise KafkaException(self.error)

        return call

    @property
    def raw(self) -> "Kafka":
        return self


def failure_of(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> NextstateError:
    monkeypatch.setattr(transactions, "_GIVE_UP_S", -1.0)
    producer = TransactionalProducer(KafkaConfig(), "trainer", "trainer")
    producer._client = kafka
    with pytest.raises(NextstateError) as caught, producer.transaction(kafka, RECORD):  # type: ignore[arg-type]
        pass
    return caught.value


def test_a_commit_that_nobody_knows_of_is_neither_undone_nor_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka("commit_transaction", TIMED_OUT)
    error = failure_of(kafka, monkeypatch)
    assert isinstance(error, RetryableError)  # the supervisor starts the process again, and `init` finds out
    assert "whether a transaction was committed" in str(error)
    assert kafka.calls[-1] == "commit_transaction"  # no abort, no rewind


def test_offsets_that_nobody_knows_of_are_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka("send_offsets_to_transaction", TIMED_OUT)
    assert isinstance(failure_of(kafka, monkeypatch), BrokerUnavailableError)
    assert kafka.calls[-2:] == ["abort_transaction", "rewind"]


def test_a_process_that_is_fenced_out_aborts_nothing_and_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka("commit_transaction", KafkaError(KafkaError._FENCED, fatal=True))
    assert isinstance(failure_of(kafka, monkeypatch), FencedError)
    assert kafka.calls[-1] == "commit_transaction"


def test_a_member_that_its_group_does_not_know_any_more_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Kafka("send_offsets_to_transaction", KafkaError(KafkaError.FENCED_INSTANCE_ID))
    assert isinstance(failure_of(kafka, monkeypatch), FencedError)
    assert kafka.calls[-1] == "send_offsets_to_transaction"
