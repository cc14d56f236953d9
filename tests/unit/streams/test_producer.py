"""A producer without a broker: nobody waits for ever, and nothing is said to be safe."""

import asyncio
from dataclasses import replace

import pytest
from example_events import ACTION

from schemas.errors import BrokerUnavailableError, MalformedEventError
from streams.codec import encode
from streams.config import KafkaConfig
from streams.producer import EventProducer
from streams.stamp import read_stamp
from streams.topics import ACTIONS, FEEDBACK

NOBODY = KafkaConfig(bootstrap_servers="127.0.0.1:1")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.producer.SEND_TIMEOUT_S", 0.1)


def next_seq(producer: EventProducer) -> int:
    with producer.stamped(producer.prepare(ACTIONS, ACTION)) as record:
        stamp = read_stamp(record.headers)
    assert stamp is not None
    return stamp.seq


async def test_a_send_that_is_not_acknowledged_in_time_says_so() -> None:
    producer = EventProducer(NOBODY, "test")
    with pytest.raises(BrokerUnavailableError, match=r"nextstate\.action\.taken\.v2 a-2 within 0\.1 s"):
        await producer.send(ACTIONS, ACTION)
    await producer.close(0.1)


async def test_closing_tells_those_who_still_wait() -> None:
    producer = EventProducer(NOBODY, "test")
    sent = producer.send_nowait(ACTIONS, encode(ACTIONS, ACTION, "test"))
    await producer.close(0.1)
    with pytest.raises(BrokerUnavailableError):
        await sent


async def test_after_closing_the_next_send_has_a_client_of_its_own() -> None:
    producer = EventProducer(NOBODY, "test")
    for number in range(2):
        sent = producer.send_nowait(ACTIONS, producer.prepare(ACTIONS, ACTION))
        await producer.close(0.0)
        with pytest.raises(BrokerUnavailableError):
            await asyncio.wait_for(sent, 5)
        assert next_seq(producer) == 2 * number + 1, "numbers go on"


async def test_a_record_that_librdkafka_cannot_take_uses_up_no_number() -> None:
    full = NOBODY.model_copy(update={"client": {"queue.buffering.max.messages": "1"}})
    producer = EventProducer(full, "test")
    producer.send_nowait(ACTIONS, encode(ACTIONS, ACTION, "test")).cancel()
    with pytest.raises(BrokerUnavailableError, match="too many records"):
        producer.send_nowait(ACTIONS, encode(ACTIONS, ACTION, "test"))
    assert next_seq(producer) == 1
    await producer.close(0.1)


async def test_an_event_that_cannot_be_encoded_uses_up_no_number() -> None:
    producer = EventProducer(NOBODY, "test")
    with pytest.raises(MalformedEventError):
        await producer.send(FEEDBACK, ACTION)
    assert next_seq(producer) == 0


async def test_a_record_that_librdkafka_refuses_is_one_of_our_errors_and_uses_up_no_number() -> None:
    small = NOBODY.model_copy(update={"client": {"message.max.bytes": "1000"}})
    producer = EventProducer(small, "test")
    large = replace(ACTION, reply=replace(ACTION.reply, content="x" * 2000))
    with pytest.raises(MalformedEventError, match="too large"):
        producer.send_nowait(ACTIONS, encode(ACTIONS, large, "test"))
    assert next_seq(producer) == 0
    await producer.close(0.1)


async def test_closing_a_producer_that_never_sent_does_nothing() -> None:
    await EventProducer(NOBODY, "test").close()
