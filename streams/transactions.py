"""`TransactionalProducer`: events and the consumed offset behind them become visible together, or not at all.

The protocol of one transaction:
  1. begin                        2. sends, any number
  3. offset of `recorded` + 1     4. commit: all of it at once
  An exception between 1 and 4 aborts: no event is seen by readers of committed records, the consumer is put back on
  `recorded`, and the stamps' numbers are used again.
Blocking, for the thread that also owns the GroupConsumer.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.errors import BrokerUnavailableError, FatalError, NextstateError
from schemas.events import Event
from streams.client import PRODUCER, FencedError, RestartNeededError, as_ours, open_client
from streams.codec import encode
from streams.config import KafkaConfig
from streams.consumer import GroupConsumer, Recorded
from streams.failpoints import failpoint
from streams.stamp import Stamper
from streams.topics import Topic

_ANSWER_TIMEOUT_S = 30.0
_TRANSACTION_TIMEOUT_MS = 60_000  # the broker aborts what a killed process left open after this
_GIVE_UP_S = 120.0  # twice that: a broker that answers again has decided by then


class _UndecidedError(BrokerUnavailableError):
    """Kafka kept asking to try again until we gave up."""


class TransactionalProducer:
    """One transactional writer; a newer process with the same `transactional_id` fences this one out.

    So does Kafka itself, where an outage lasted longer than a transaction may.
    """

    def __init__(self, config: KafkaConfig, transactional_id: str, instance: str) -> None:
        self._config = config
        self._settings = {
            "transactional.id": f"{config.topic_prefix}{transactional_id}",
            "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
        }
        self._instance = instance
        self._stamper = Stamper(instance)
        self._client: Any = None

    def init(self) -> None:
        """Fence out older processes, and wait until what they left is wholly committed or aborted. Once, at the start.

        State that is read from the log (`read_all`) after this holds all that they committed; before it, perhaps not.
        Raises:  BrokerUnavailableError, FatalError.
        """
        self._client = open_client(Producer, self._config, PRODUCER, self._settings)
        self._until_done("Starting transactions", lambda: self._client.init_transactions(_ANSWER_TIMEOUT_S))

    @contextmanager
    def transaction(
        self, group_consumer: GroupConsumer | None = None, recorded: Recorded | None = None
    ) -> Iterator[None]:
        """Everything sent inside commits together, and with `recorded` being done, where something was consumed.

        Raises:  BrokerUnavailableError: aborted, try again from `recorded`; RestartNeededError: fenced out, or perhaps
                 committed, which only the next `init` finds out; and whatever is raised inside.
        """
        first_seq = self._stamper.next_seq
        self._client.begin_transaction()
        try:
            yield
            self._commit(group_consumer, recorded)
        except BaseException as error:
            if not isinstance(error, FatalError | RestartNeededError):
                self._abort()
                self._stamper.rewind(first_seq)
                if group_consumer is not None and recorded is not None:
                    group_consumer.rewind(recorded)
            raise

    def send(self, topic: Topic, event: Event) -> None:
        """Add an event to the open transaction.

        Raises:  RejectedError: it cannot be encoded; BrokerUnavailableError: too many records wait for Kafka.
        """
        record = self._stamper.stamp(encode(topic, event, self._instance))
        try:
            self._client.produce(
                self._config.topic(topic.name), key=record.key, value=record.value, headers=record.headers
            )
        except (BufferError, KafkaException) as error:
            message = f"Sending to topic {topic.name!r} in a transaction failed: {error}."
            raise BrokerUnavailableError(message) from error

    def close(self) -> None:
        """End; a transaction that is still open is aborted by the next `init`."""
        self._client = None

    def _commit(self, group_consumer: GroupConsumer | None, recorded: Recorded | None) -> None:
        if group_consumer is not None and recorded is not None:
            position, metadata = [group_consumer.after(recorded)], group_consumer.raw.consumer_group_metadata()
            failpoint("transaction.before-offsets")
            self._until_done(
                "Adding offsets to the transaction",
                lambda: self._client.send_offsets_to_transaction(position, metadata, _ANSWER_TIMEOUT_S),
            )
            failpoint("transaction.offsets-added")
        try:
            self._until_done("Committing the transaction", lambda: self._client.commit_transaction(_ANSWER_TIMEOUT_S))
        except _UndecidedError as error:
            message = f"Kafka did not say whether a transaction was committed; a restart finds out. {error}"
            raise RestartNeededError(message) from error
        failpoint("transaction.committed")

    def _abort(self) -> None:
        self._until_done("Aborting the transaction", lambda: self._client.abort_transaction(_ANSWER_TIMEOUT_S))

    def _until_done(self, doing: str, step: Callable[[], None]) -> None:
        """Repeat a step while Kafka calls its failure retriable, up to the time limit."""
        deadline = time.monotonic() + _GIVE_UP_S
        while True:
            try:
                step()
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise _as_ours(error, doing) from error
                if time.monotonic() > deadline:
                    raise _UndecidedError(str(as_ours(error, doing))) from error
            else:
                return


def _as_ours(error: KafkaException, doing: str) -> NextstateError:
    """A member whose group moved to another broker may have a new id there, unseen: the old one looks taken over."""
    if error.args[0].code() == KafkaError.FENCED_INSTANCE_ID:
        return FencedError(
            f"{doing} failed: after an outage Kafka knows this member of the group no more, or a newer process has its "
            "name; a restart finds out."
        )
    return as_ours(error, doing)
