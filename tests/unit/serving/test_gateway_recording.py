"""Keeping events, refusing without a place for them, and finding out that there is one again."""

import pytest

from schemas.errors import SpoolFullError
from schemas.events import NextStateObserved
from serving.metrics import GatewayMetrics
from serving.recording import PROBE_EVERY_S, Recording
from streams.topics import NEXT_STATES
from tests.unit.serving.gateway_fakes import MemoryRecorder

EVENT = NextStateObserved(id="s", time_ms=1, policy="p", action_id="a")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def recording(recorder: MemoryRecorder, clock: Clock, when: str = "refuse") -> Recording:
    return Recording(recorder, "serve" if when == "serve" else "refuse", GatewayMetrics(), clock)


async def test_an_event_in_the_spool_is_kept() -> None:
    keeper = recording(MemoryRecorder(place="spool"), Clock())
    assert await keeper.keep(NEXT_STATES, EVENT)
    assert (keeper.place, keeper.admit()) == ("spool", True)


async def test_an_event_without_a_place_is_refused() -> None:
    keeper = recording(MemoryRecorder(place="nowhere"), Clock())
    with pytest.raises(SpoolFullError):
        await keeper.keep(NEXT_STATES, EVENT)
    with pytest.raises(SpoolFullError):
        keeper.admit()


async def test_an_event_without_a_place_is_lost_where_the_setting_allows_it() -> None:
    keeper = recording(MemoryRecorder(place="nowhere"), Clock(), "serve")
    assert not await keeper.keep(NEXT_STATES, EVENT)
    assert not keeper.admit()


async def test_after_a_while_a_request_is_let_through_to_find_out() -> None:
    clock, recorder = Clock(), MemoryRecorder(place="nowhere")
    keeper = recording(recorder, clock)
    with pytest.raises(SpoolFullError):
        await keeper.keep(NEXT_STATES, EVENT)
    clock.now_s = PROBE_EVERY_S + 0.1
    assert keeper.admit()
    recorder.place = "spool"
    assert await keeper.keep(NEXT_STATES, EVENT)
    clock.now_s = 0.0
    assert keeper.place == "spool"


async def test_when_kafka_is_back_everything_is_admitted_at_once() -> None:
    recorder = MemoryRecorder(place="nowhere")
    keeper = recording(recorder, Clock())
    with pytest.raises(SpoolFullError):
        await keeper.keep(NEXT_STATES, EVENT)
    recorder.place = "kafka"
    assert keeper.admit()
