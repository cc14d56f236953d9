"""The recorder's decisions, against a Kafka that answers exactly when the test says so."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from example_events import ACTION
from switched_kafka import SwitchedKafka

from schemas.errors import (
    BrokerUnavailableError,
    FatalError,
    NextstateError,
    SpoolFullError,
    TokenMismatchError,
)
from schemas.events import Event
from streams.client import RestartNeededError
from streams.codec import encode
from streams.config import KafkaConfig
from streams.producer import EventProducer
from streams.recorder import Recorder
from streams.spool import Spool
from streams.topics import ACTIONS

DEADLINE_S = 0.05


def action(number: int) -> Event:
    return replace(ACTION, id=f"a-{number}")


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the condition did not come true within 5 s")


@pytest.fixture
def kafka() -> SwitchedKafka:
    return SwitchedKafka()


@pytest.fixture
async def recorder(kafka: SwitchedKafka, tmp_path: Path) -> AsyncIterator[Recorder]:
    async with Recorder(kafka, Spool(tmp_path / "spool", 100_000), DEADLINE_S) as recorder:
        yield recorder


async def test_an_acknowledged_event_is_in_kafka_and_not_in_the_spool(recorder: Recorder, kafka: SwitchedKafka) -> None:
    assert await recorder.record(ACTIONS, action(1)) == "kafka"
    assert kafka.delivered == ["a-1"]
    assert (recorder.healthy, recorder.spooled_bytes) == (True, 0)


async def test_after_one_missed_deadline_events_are_spooled_without_waiting(
    recorder: Recorder, kafka: SwitchedKafka
) -> None:
    kafka.up = False
    start = time.monotonic()
    assert await recorder.record(ACTIONS, action(1)) == "spool"
    assert time.monotonic() - start >= DEADLINE_S
    assert not recorder.healthy
    spooled_bytes = recorder.spooled_bytes
    assert spooled_bytes > 0
    waiting_for_kafka = len(kafka._waiting)
    assert await recorder.record(ACTIONS, action(2)) == "spool"
    assert recorder.spooled_bytes > spooled_bytes
    assert len(kafka._waiting) <= waiting_for_kafka + 1  # the drain's, none of the second event's own


async def test_spooled_events_arrive_in_order_once_the_broker_answers(recorder: Recorder, kafka: SwitchedKafka) -> None:
    kafka.up = False
    for number in range(1, 6):
        await recorder.record(ACTIONS, action(number))
    kafka.come_up()
    await until(lambda: recorder.healthy)
    first_arrivals = list(dict.fromkeys(kafka.delivered))
    assert first_arrivals == ["a-1", "a-2", "a-3", "a-4", "a-5"]
    assert recorder.spooled_bytes == 0
    assert await recorder.record(ACTIONS, action(6)) == "kafka"


async def test_only_the_event_whose_deadline_was_missed_may_arrive_twice(
    recorder: Recorder, kafka: SwitchedKafka
) -> None:
    kafka.up = False
    for number in range(1, 4):
        await recorder.record(ACTIONS, action(number))
    kafka.come_up()
    await until(lambda: recorder.healthy)
    assert sorted(kafka.delivered) == ["a-1", "a-1", "a-2", "a-3"]


async def test_a_producer_that_cannot_take_more_is_as_good_as_a_missed_deadline(
    recorder: Recorder, kafka: SwitchedKafka
) -> None:
    kafka.refusal = BrokerUnavailableError("The queue is full.")
    assert await recorder.record(ACTIONS, action(1)) == "spool"
    assert not recorder.healthy


async def test_even_a_missing_topic_does_not_lose_an_event(recorder: Recorder, kafka: SwitchedKafka) -> None:
    kafka.refusal = FatalError("The topic is not there.")
    assert await recorder.record(ACTIONS, action(1)) == "spool"
    assert recorder.spooled_bytes > 0


async def test_an_event_that_cannot_be_encoded_is_refused_and_the_recorder_stays_healthy(recorder: Recorder) -> None:
    with pytest.raises(TokenMismatchError):
        await recorder.record(ACTIONS, replace(ACTION, response_logprobs=()))
    assert recorder.healthy


async def test_a_full_spool_is_said_and_not_acknowledged(kafka: SwitchedKafka, tmp_path: Path) -> None:
    kafka.up = False
    async with Recorder(kafka, Spool(tmp_path / "small", 10), DEADLINE_S) as recorder:
        with pytest.raises(SpoolFullError):
            await recorder.record(ACTIONS, action(1))


async def test_a_spool_that_cannot_take_anything_does_not_keep_events_from_kafka(
    kafka: SwitchedKafka, tmp_path: Path
) -> None:
    kafka.up = False
    async with Recorder(kafka, Spool(tmp_path / "small", 10), DEADLINE_S) as recorder:
        with pytest.raises(SpoolFullError):
            await recorder.record(ACTIONS, action(1))
        kafka.come_up()
        await until(lambda: recorder.healthy)
        assert await recorder.record(ACTIONS, action(2)) == "kafka"


async def test_what_a_killed_process_left_is_delivered_before_anything_new(
    kafka: SwitchedKafka, tmp_path: Path
) -> None:
    kafka.up = False
    left = Recorder(kafka, Spool(tmp_path / "spool", 100_000), DEADLINE_S)
    await left.start()
    await left.record(ACTIONS, action(1))
    await left.close()

    restarted = SwitchedKafka()
    async with Recorder(restarted, Spool(tmp_path / "spool", 100_000), DEADLINE_S) as recorder:
        assert not recorder.healthy
        await recorder.record(ACTIONS, action(2))
        await until(lambda: len(restarted.delivered) == 2)
    assert restarted.delivered == ["a-1", "a-2"]


async def test_a_spooled_event_keeps_its_first_stamp(recorder: Recorder, kafka: SwitchedKafka, tmp_path: Path) -> None:
    kafka.up = False
    await recorder.record(ACTIONS, action(1))
    await until(lambda: len(kafka._waiting) == 2)
    headers = [encoded.headers for _, encoded in kafka._waiting]
    assert headers[0] == headers[1]
    assert dict(headers[0])["ns_seq"] == b"0"


async def test_a_record_without_a_broker_is_spooled_by_the_real_producer(tmp_path: Path) -> None:
    producer = EventProducer(KafkaConfig(bootstrap_servers="127.0.0.1:1"), "test")
    async with Recorder(producer, Spool(tmp_path / "spool", 100_000), DEADLINE_S) as recorder:
        assert await recorder.record(ACTIONS, action(1)) == "spool"
        assert recorder.spooled_bytes > len(encode(ACTIONS, action(1), "test").value)
    await producer.close(0.1)


async def test_what_waits_in_the_spool_can_be_read(recorder: Recorder, kafka: SwitchedKafka) -> None:
    kafka.up = False
    for number in (1, 2):
        await recorder.record(ACTIONS, action(number))
    assert recorder.pending() == [action(1), action(2)]


async def test_an_event_that_nobody_took_uses_up_no_number(kafka: SwitchedKafka, tmp_path: Path) -> None:
    kafka.refusal = BrokerUnavailableError("The queue is full.")
    room_for_one = len(encode(ACTIONS, action(1), "test").value) + 1_000
    async with Recorder(kafka, Spool(tmp_path / "small", room_for_one), DEADLINE_S) as recorder:
        await recorder.record(ACTIONS, action(1))
        for number in (2, 3):
            with pytest.raises(SpoolFullError):
                await recorder.record(ACTIONS, action(number))
        kafka.refusal = None
        await until(lambda: recorder.healthy)
        kafka.up = False
        sent = asyncio.create_task(recorder.record(ACTIONS, action(4)))
        await until(lambda: bool(kafka._waiting))
        stamps = [dict(encoded.headers)["ns_seq"] for _, encoded in kafka._waiting]
        assert stamps == [b"1"]
        kafka.come_up()
        await sent


async def test_events_that_come_together_are_spooled_together_in_their_order(
    recorder: Recorder, kafka: SwitchedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.refusal = BrokerUnavailableError("The queue is full.")
    await recorder.record(ACTIONS, action(0))
    syncs: list[int] = []
    monkeypatch.setattr(os, "fsync", syncs.append)
    kept = await asyncio.gather(*(recorder.record(ACTIONS, action(number)) for number in range(1, 51)))
    assert kept == ["spool"] * 50
    assert len(syncs) <= 2
    assert recorder.pending() == [action(number) for number in range(51)]


async def test_of_events_that_come_together_those_are_spooled_that_there_is_room_for(
    kafka: SwitchedKafka, tmp_path: Path
) -> None:
    kafka.refusal = BrokerUnavailableError("The queue is full.")
    room_for_two = 2 * (len(encode(ACTIONS, action(1), "test").value) + 1_000)
    async with Recorder(kafka, Spool(tmp_path / "small", room_for_two), DEADLINE_S) as recorder:
        told = (recorder.record(ACTIONS, action(number)) for number in range(1, 6))
        places = await asyncio.gather(*told, return_exceptions=True)
        num_kept = len(recorder.pending())
        assert num_kept >= 2
        assert places[:num_kept] == ["spool"] * num_kept
        assert [type(place) for place in places[num_kept:]] == [SpoolFullError] * (5 - num_kept)
        kafka.refusal = None
        await until(lambda: recorder.healthy)
        await recorder.record(ACTIONS, action(6))
    assert kafka.delivered == [*(f"a-{number}" for number in range(1, num_kept + 1)), "a-6"]
    assert kafka.stamps == [*range(num_kept + 1)], "what was not kept has used up no number"


async def test_an_event_is_spooled_though_its_sender_and_then_the_recorder_go(
    kafka: SwitchedKafka, tmp_path: Path
) -> None:
    kafka.refusal = BrokerUnavailableError("The queue is full.")
    recorder = Recorder(kafka, Spool(tmp_path / "spool", 100_000), DEADLINE_S)
    await recorder.start()
    senders = [asyncio.create_task(recorder.record(ACTIONS, action(number))) for number in (1, 2)]
    await asyncio.sleep(0)
    senders[0].cancel()
    await recorder.close()
    assert await senders[1] == "spool"
    again = Recorder(kafka, Spool(tmp_path / "spool", 100_000), DEADLINE_S)
    await again.start()
    assert again.pending() == [action(1), action(2)]
    await again.close()


async def test_a_delivery_that_can_never_go_on_is_heard_of_and_the_spool_keeps_what_it_has(
    recorder: Recorder, kafka: SwitchedKafka
) -> None:
    kafka.refusal = RestartNeededError("The client is broken.")
    assert await recorder.record(ACTIONS, action(1)) == "spool"
    with pytest.raises(RestartNeededError, match="The client is broken"):
        await asyncio.wait_for(recorder.until_failed(), 5)
    assert recorder.pending() == [action(1)]


@pytest.mark.parametrize("error", [BrokerUnavailableError("The queue is full."), FatalError("Not allowed.")])
async def test_a_delivery_is_tried_again_until_it_works(
    recorder: Recorder, kafka: SwitchedKafka, monkeypatch: pytest.MonkeyPatch, error: NextstateError
) -> None:
    monkeypatch.setattr("streams.recorder._BACKOFF_S", 0.01)
    kafka.refusal = error
    await recorder.record(ACTIONS, action(1))
    failing = asyncio.create_task(recorder.until_failed())
    await asyncio.sleep(0.05)
    assert not failing.done()
    kafka.refusal = None
    await until(lambda: recorder.healthy)
    assert kafka.delivered == ["a-1"]
    failing.cancel()


async def test_a_spooled_event_that_kafka_never_takes_is_set_aside_and_those_behind_it_are_delivered(
    recorder: Recorder, kafka: SwitchedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.recorder._BACKOFF_S", 0.01)
    kafka.refusal = BrokerUnavailableError("The queue is full.")
    for number in (1, 2):
        await recorder.record(ACTIONS, action(number))
    kafka.unwanted = {"a-1"}
    kafka.refusal = None
    await until(lambda: recorder.healthy)
    assert kafka.delivered == ["a-2"]
    assert b"a-1" in (tmp_path / "spool.cut").read_bytes()
