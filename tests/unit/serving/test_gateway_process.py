"""The gateway as a process: what it knows at its start, what it leaves at its end, and that it never runs half."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from example_events import ACTION, WHOLE
from pydantic import ValidationError

from schemas.errors import BrokerUnavailableError, FatalError
from schemas.events import Event, FeedbackGiven, NextStateObserved
from schemas.feedback import digest_said
from serving import gateway_process, shutdown
from serving.config import EngineConfig, GatewayConfig
from serving.gateway_process import Memory, run_gateway, serve
from serving.routing import Routes
from streams.config import KafkaConfig
from streams.conversation import ConversationIndex
from streams.producer import EventProducer
from streams.recorder import Recorder
from streams.spool import Spool
from streams.topics import ACTIONS
from tests.unit.serving.gateway_fakes import Bench, CharacterRenderer, assistant, user

NOBODY = KafkaConfig(bootstrap_servers="127.0.0.1:1")
LOGGED, SPOOLED = replace(WHOLE, id="logged"), replace(WHOLE, id="spooled")


@asynccontextmanager
async def serving(bench: Bench) -> AsyncIterator[tuple[httpx.AsyncClient, "asyncio.Task[None]"]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        task = asyncio.create_task(serve(bench.app, listener))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            await until_answered(client)
            yield client, task


async def until_answered(client: httpx.AsyncClient) -> None:
    while True:
        with contextlib.suppress(httpx.ConnectError):
            await client.get("/health")
            return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [True, False])
def test_a_gateway_that_is_stopped_during_a_long_reply_records_it_as_aborted_in_time(stream: bool) -> None:
    uvloop.run(stop_during_a_reply(stream=stream))  # the event loop that its process has


async def stop_during_a_reply(*, stream: bool) -> None:
    bench = Bench([["Hel", asyncio.Event(), "lo."]])
    body = {"model": "assistant", "messages": [user("hi")], "stream": stream}
    async with serving(bench) as (client, task):
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        while not bench.engine.requests:
            await asyncio.sleep(0.01)
        start_s = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - start_s < shutdown.GRACE_S + shutdown.SETTLE_S
        with contextlib.suppress(httpx.HTTPError):  # its answer was cut off
            await asking
    [action] = bench.recorder.actions
    assert (action.finish_reason, action.reply.content) == ("aborted", "Hel")


def test_the_parts_of_a_stop_end_before_the_supervisor_kills() -> None:
    parts_s = (shutdown.GRACE_S, shutdown.SETTLE_S, shutdown.FLUSH_S)
    assert sum(parts_s) == shutdown.STOP_S < 9
    assert min(parts_s) >= 1


def test_a_port_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="65535"):
        GatewayConfig(port=65536)


def empty_index() -> ConversationIndex:
    return ConversationIndex(max_bytes=10**9, max_age_ms=10**15, max_chain_age_ms=10**9, now_ms=lambda: ACTION.time_ms)


async def test_what_the_last_gateway_spooled_is_known_without_kafka_and_the_rest_as_soon_as_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = BrokerUnavailableError("away")
    answers: list[list[Event] | Exception] = [away, away, [LOGGED], away, [LOGGED]]

    def recorded_events(_: KafkaConfig) -> list[Event]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(gateway_process, "recorded_events", recorded_events)
    monkeypatch.setattr(gateway_process, "RETRY_PAUSE_S", 0.01)
    producer = EventProducer(NOBODY, "test")
    async with Recorder(producer, Spool(tmp_path / "spool", 10**6), 0.05) as recorder:
        await recorder.record(ACTIONS, SPOOLED)
        memory = Memory(empty_index(), Routes("assistant"), recorder, NOBODY)
        assert not await memory.restore()
        assert len(memory.index) == 1
        await asyncio.wait_for(memory.restore_later(), 5)
        assert len(memory.index) == 2
        assert not answers, "what was recorded while the log was read is not known"
    await producer.close(0.1)


async def test_a_request_that_was_under_way_when_the_log_came_back_follows_what_it_followed() -> None:
    earlier, go_on = Bench([["hi"]]), asyncio.Event()
    async with earlier.client() as client:
        await client.post("/v1/chat/completions", json={"model": "assistant", "messages": [user("hello")]})
    [first] = earlier.recorder.actions
    bench = Bench([["see ", go_on, "you"]])
    bench.time_ms = earlier.time_ms
    body = {"model": "assistant", "messages": [user("hello"), assistant("hi"), user("bye")]}
    async with bench.client() as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        while not bench.engine.requests:
            await asyncio.sleep(0.01)
        bench.index.restore([first], ())
        go_on.set()
        await asking
    [action], [state] = bench.recorder.actions, bench.recorder.next_states
    assert action.parent_action_id is None
    assert (state.action_id, state.request_id) == (first.id, action.id)
    assert [message.content for message in state.messages] == ["bye"]


async def test_what_was_said_without_the_log_is_told_when_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = Bench([["hi"]])
    async with earlier.client() as client:
        await client.post("/v1/chat/completions", json={"model": "assistant", "messages": [user("hello")]})
    blind = Bench([["see you"]])
    blind.time_ms = earlier.time_ms
    async with blind.client() as client:
        body = {"model": "assistant", "messages": [user("hello"), assistant("hi"), user("bye")]}
        await client.post("/v1/chat/completions", json=body)
    [first], [spooled] = earlier.recorder.actions, blind.recorder.actions
    monkeypatch.setattr(gateway_process, "recorded_events", lambda _: [first])
    producer = EventProducer(NOBODY, "test")
    async with Recorder(producer, Spool(tmp_path / "spool", 10**6), 0.05) as recorder:
        await recorder.record(ACTIONS, spooled)
        memory = Memory(empty_index(), Routes("assistant"), recorder, NOBODY)
        for _ in range(2):  # it is told once
            assert await memory.restore()
            kept = [event for event in recorder.pending() if isinstance(event, NextStateObserved)]
            assert [(state.action_id, state.request_id) for state in kept] == [(first.id, spooled.id)]
    await producer.close(0.1)


def test_what_was_said_of_an_answer_is_known_after_a_restart_newest_last() -> None:
    index = empty_index()
    given = [
        FeedbackGiven(id=f"f-{n}", time_ms=n, policy="assistant", action_id=LOGGED.id, thumb=1 if n else -1)
        for n in range(2)
    ]
    gateway_process.restore([*given[::-1], LOGGED, given[0]], index, Routes("assistant"))
    opened = index.get(LOGGED.id)
    assert opened is not None
    assert opened.feedback == {each.id: digest_said(each) for each in given}
    assert list(opened.feedback) == ["f-0", "f-1"]


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A gateway whose log is empty and whose engine is away, ready to run."""
    monkeypatch.setattr(gateway_process, "recorded_events", lambda _: [])
    monkeypatch.setattr(gateway_process, "ChatRenderer", lambda _: CharacterRenderer())

    def start() -> Any:
        return run_gateway(
            GatewayConfig(port=free_port()),
            NOBODY,
            EngineConfig(),
            engine_url="http://127.0.0.1:1",
            model_path=tmp_path,
            policy="assistant",
            home=tmp_path,
            heartbeat=tmp_path / "beat",
        )

    return start


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def test_a_gateway_that_no_longer_hears_of_reloads_ends_with_the_reason(
    running: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise FatalError("The topic is gone.")

    monkeypatch.setattr(gateway_process, "follow_reloads", broken)
    with pytest.raises(FatalError, match="gone"):
        await asyncio.wait_for(running(), 10)
