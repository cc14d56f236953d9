"""Derived events are written in order and waited for; what cannot be written is a rejection."""

import asyncio
from dataclasses import replace

import pytest
from processor_world import CONFIG, action, ended, next_state

from processors.emit import Emission, Emitter, reject
from processors.join import skip
from schemas.errors import BrokerUnavailableError, FatalError, MalformedEventError
from streams.codec import decode
from streams.memory import MemoryLog
from streams.producer import EventProducer

SKIP = skip("a-1", "side_turn", action())


class ScriptedProducer(EventProducer):
    """Takes records; what it does with each is scripted: an error to raise now, or to put into the future."""

    def __init__(self, *script):
        super().__init__(CONFIG, "test")
        self.script, self.sent = list(script), []

    def send_nowait(self, topic, encoded):
        step = self.script.pop(0) if self.script else None
        if isinstance(step, BrokerUnavailableError):
            raise step
        self.sent.append((topic.name, decode(encoded.headers, encoded.value)))
        future = asyncio.get_running_loop().create_future()
        if step is None:
            future.set_result(None)
        elif isinstance(step, Exception):
            future.set_exception(step)
        return future


async def test_events_go_to_their_topics_in_order():
    producer = ScriptedProducer()
    await Emitter(producer, "processors").emit([Emission(event=SKIP), Emission(event=ended())])
    assert producer.sent == [("skips", SKIP), ("next-states", ended())]


async def test_emit_returns_only_when_kafka_has_all():
    producer = ScriptedProducer(None, "never")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(Emitter(producer, "p").emit([Emission(event=SKIP), Emission(event=ended())]), 0.05)


async def test_a_full_queue_is_waited_for(monkeypatch):
    monkeypatch.setattr("processors.emit.RETRY_S", 0.0)
    producer = ScriptedProducer(BrokerUnavailableError("full"), BrokerUnavailableError("full"))
    await Emitter(producer, "processors").emit([Emission(event=SKIP)])
    assert producer.sent == [("skips", SKIP)]


async def test_an_error_that_does_not_pass_is_raised():
    with pytest.raises(FatalError, match="no such topic"):
        await Emitter(ScriptedProducer(FatalError("no such topic")), "p").emit([Emission(event=SKIP)])


async def test_an_event_that_cannot_be_written_is_rejected_at_the_place_of_its_cause():
    cause = MemoryLog().append(next_state())
    producer = ScriptedProducer()
    huge = replace(SKIP, detail="x" * 20_000_000)
    await Emitter(producer, "processors").emit([Emission(event=huge, cause=cause)])
    ((topic, rejection),) = producer.sent
    assert (topic, rejection.topic, rejection.offset) == ("rejections", "next-states", 0)
    assert rejection.error == "MalformedEventError"
    with pytest.raises(MalformedEventError):
        await Emitter(producer, "processors").emit([Emission(event=huge)])


def test_a_rejection_has_one_id_per_place_and_shows_how_the_value_begins():
    log = MemoryLog()
    first, second = log.append(next_state(text="é" * 500)), log.append(next_state(text="é" * 500))
    error = ValueError("no good")
    assert reject(first, "join", error) == reject(first, "join", error)
    assert reject(first, "join", error).id != reject(second, "join", error).id
    assert reject(first, "join", error).id != reject(first, "pack", error).id
    assert len(reject(first, "join", error).value_preview) <= 200
    assert reject(first, "join", error).subject == "ada"
