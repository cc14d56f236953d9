"""Streams over a real socket: what the client has seen at each moment, and what happens when it leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from schemas.errors import EngineUnavailableError
from tests.unit.serving.gateway_fakes import Bench, chunks_of, user
from tests.unit.serving.test_gateway import CALL, WEATHER

BODY: dict[str, Any] = {"model": "assistant", "messages": [user("hi")], "stream": True}


@asynccontextmanager
async def on_a_socket(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.listening() as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
        yield client


@asynccontextmanager
async def reading(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator["Reader"]:
    """A stream that is read as it comes; leaving the block closes the connection."""
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        reader = Reader(response)
        task = asyncio.create_task(reader.read())
        try:
            yield reader
        finally:
            task.cancel()


class Reader:
    """What a client has seen so far."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.seen = ""

    async def read(self) -> None:
        async for part in self.response.aiter_text():
            self.seen += part

    async def until(self, wanted: str) -> None:
        async with asyncio.timeout(5):
            while wanted not in self.seen:
                await asyncio.sleep(0.01)


async def settled(bench: Bench, num_actions: int) -> None:
    while len(bench.recorder.actions) < num_actions:
        await asyncio.sleep(0.01)


async def test_text_is_sent_at_once_and_the_finish_only_when_the_action_is_safe() -> None:
    gate = asyncio.Event()
    bench = Bench([["Hel", gate, "lo."]])
    bench.recorder.gate = asyncio.Event()
    async with on_a_socket(bench) as client, reading(client, BODY) as reader:
        assert reader.response.headers["content-type"].startswith("text/event-stream")
        await reader.until('"Hel"')
        assert "lo." not in reader.seen
        gate.set()
        await reader.until('"lo."')
        await bench.recorder.asked.wait()
        await asyncio.sleep(0.2)
        assert '"finish_reason":"stop"' not in reader.seen
        assert bench.recorder.actions == []
        bench.recorder.gate.set()
        await reader.until("data: [DONE]")
    chunks = chunks_of(reader.seen)
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["", "Hel", "lo.", None]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]


async def test_usage_comes_in_a_last_chunk_without_choices_where_it_is_asked_for() -> None:
    bench = Bench([["Hello."]])
    response = await bench.post(BODY | {"stream_options": {"include_usage": True}})
    *before, finish, usage = chunks_of(response.text)
    assert all(chunk["usage"] is None for chunk in (*before, finish))
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == len("Hello.")


async def test_a_client_that_leaves_mid_stream_stops_the_engine_and_is_recorded_as_aborted() -> None:
    bench = Bench([["Hel", asyncio.Event(), "lo."]])
    async with on_a_socket(bench) as client:
        async with reading(client, BODY) as reader:
            await reader.until("Hel")
        await asyncio.wait_for(settled(bench, 1), 5)
    [action] = bench.recorder.actions
    assert (action.finish_reason, action.reply.content) == ("aborted", "Hel")
    assert action.response_ids == tuple(map(ord, "Hel"))
    assert bench.engine.stopped_early == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_before_the_first_token_is_recorded_as_aborted_too(stream: bool) -> None:
    bench = Bench([[asyncio.Event(), "Hello."]])
    async with on_a_socket(bench) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/chat/completions", json=BODY | {"stream": stream}, timeout=0.3)
        await asyncio.wait_for(settled(bench, 1), 5)
    [action] = bench.recorder.actions
    assert (action.finish_reason, action.response_ids, action.token_versions) == ("aborted", (), ())
    assert bench.engine.stopped_early == 1


async def test_a_client_that_leaves_while_the_finish_is_held_has_its_action_recorded_whole() -> None:
    bench = Bench([["Hello."]])
    bench.recorder.gate = asyncio.Event()
    async with on_a_socket(bench) as client:
        async with reading(client, BODY) as reader:
            await reader.until("Hello.")
            await bench.recorder.asked.wait()
        await asyncio.sleep(0.1)
        bench.recorder.gate.set()
        await asyncio.wait_for(settled(bench, 1), 5)
    assert bench.recorder.actions[0].finish_reason == "stop"


async def test_one_slow_request_does_not_hold_up_another() -> None:
    bench = Bench([["Hel", asyncio.Event()], ["Bye."]])
    async with on_a_socket(bench) as client, reading(client, BODY) as reader:
        await reader.until("Hel")
        other = await client.post("/v1/chat/completions", json=BODY | {"stream": False})
        assert other.json()["choices"][0]["message"]["content"] == "Bye."


async def test_n_choices_stream_side_by_side_and_each_finishes() -> None:
    bench = Bench([["one"], ["two"]])
    response = await bench.post(BODY | {"n": 2})
    texts, finishes = {0: "", 1: ""}, {}
    for chunk in chunks_of(response.text):
        [choice] = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content") or ""
        finishes[choice["index"]] = choice["finish_reason"]
    assert sorted(texts.values()) == ["one", "two"]
    assert finishes == {0: "stop", 1: "stop"}


async def test_when_one_of_n_choices_fails_the_others_are_stopped_and_recorded() -> None:
    bench = Bench([["one", EngineUnavailableError("The engine died.")], ["two", asyncio.Event()]])
    response = await bench.post(BODY | {"n": 2})
    assert "error" in chunks_of(response.text)[-1]
    await asyncio.wait_for(settled(bench, 2), 5)
    assert {action.finish_reason for action in bench.recorder.actions} == {"error", "aborted"}


async def test_a_tool_call_is_held_back_until_it_is_whole() -> None:
    bench = Bench([["Let me ", "see.", " \n<tool", *CALL.removeprefix("<tool")]])
    response = await bench.post(BODY | {"tools": [WEATHER]})
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(response.text)]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Let me see."
    [calls] = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert calls[0]["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert chunks_of(response.text)[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert bench.recorder.actions[0].reply.content == "Let me see."


async def test_logprobs_of_a_stream_come_with_their_text() -> None:
    bench = Bench([["ab", "c"]])
    response = await bench.post(BODY | {"logprobs": True})
    tokens = [
        (token["token"], token["logprob"])
        for chunk in chunks_of(response.text)
        for token in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]
    ]
    assert tokens == [("a", 0.0), ("b", -1.0), ("c", -2.0)]


async def test_a_gateway_that_stops_first_records_what_is_under_way() -> None:
    bench = Bench([["Hel", asyncio.Event()]])
    async with on_a_socket(bench) as client:
        async with reading(client, BODY) as reader:
            await reader.until("Hel")
        bench.recorder.gate = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, bench.recorder.gate.set)
    assert bench.recorder.actions[0].finish_reason == "aborted"
