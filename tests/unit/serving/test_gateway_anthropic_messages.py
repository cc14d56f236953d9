"""Anthropic's Messages: as the real SDK sees it, and each event by the SDK's own types."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import ErrorResponse, Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from schemas.errors import EngineUnavailableError
from tests.unit.serving.gateway_fakes import CONTEXT_LENGTH, Bench, chunks_of
from tests.unit.serving.test_gateway import CALL

PATH = "/v1/messages"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "weather", "description": "How warm it is.", "input_schema": SCHEMA}
OSLO = CALL.replace("Rome", "Oslo")
EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
HI: Any = [{"role": "user", "content": "hi"}]
BODY: dict[str, Any] = {"model": "assistant", "max_tokens": 100, "messages": HI}


@pytest.fixture
async def bench() -> Bench:
    return Bench([["Let me ", "see. " + CALL + "\n" + OSLO], ["Rome 20, ", "Oslo 9."], ["Bye."]])


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[AsyncAnthropic]:
    async with (
        bench.listening() as url,
        AsyncAnthropic(api_key="any", base_url=url, max_retries=0, timeout=10) as sdk,
    ):
        yield sdk


async def converse(client: AsyncAnthropic, *, stream: bool) -> None:
    """Three turns: parallel calls, whose results come with a word of the user's, an answer, and a goodbye."""
    said: list[Any] = [{"role": "user", "content": "weather?"}]

    async def ask() -> Message:
        fields: Any = {"model": "assistant", "max_tokens": 1000, "messages": said, "tools": [WEATHER], "system": "Hm."}
        if not stream:
            return await client.messages.create(**fields)
        async with client.messages.stream(**fields) as events:
            return await events.get_final_message()

    first = await ask()
    text, *calls = first.content
    assert (first.stop_reason, text.type == "text" and text.text) == ("tool_use", "Let me see.")
    assert [call.type == "tool_use" and call.input for call in calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    rome, oslo = (call.id for call in calls if call.type == "tool_use")
    results = [
        {"type": "tool_result", "tool_use_id": rome, "content": "20"},
        {"type": "tool_result", "tool_use_id": oslo, "content": [{"type": "text", "text": "9"}]},
        {"type": "text", "text": "in short"},
    ]
    said += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = await ask()
    assert second.stop_reason == "end_turn"
    said += [{"role": "assistant", "content": second.content}, {"role": "user", "content": "bye"}]
    await ask()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_with_parallel_tools(bench: Bench, client: AsyncAnthropic, stream: bool) -> None:
    await converse(client, stream=stream)
    actions, states = bench.recorder.actions, bench.recorder.next_states
    assert [action.parent_action_id for action in actions] == [None, *(action.id for action in actions[:-1])]
    assert not any(action.ambiguous for action in actions)
    said = [[(message.role, message.content) for message in state.messages] for state in states]
    assert said == [[("tool", "20"), ("tool", "9"), ("user", "in short")], [("user", "bye")]]
    call_ids = [call.id for call in actions[0].reply.tool_calls]
    assert [message.tool_call_id for message in states[0].messages] == [*call_ids, None]


async def test_the_events_of_a_stream_in_their_order_and_by_the_sdks_types(bench: Bench) -> None:
    events = chunks_of((await bench.post(BODY | {"tools": [WEATHER], "stream": True}, path=PATH)).text)
    for event in events:
        assert EVENTS.validate_python(event).type == event["type"]
    kinds = [event["type"] for event in events]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    num_deltas = kinds.count("content_block_delta") - 2
    text = [block[0], *[block[1]] * num_deltas, block[2]]
    assert kinds == ["message_start", *text, *block, *block, "message_delta", "message_stop"]
    assert [event["index"] for event in events if event["type"] == block[0]] == [0, 1, 2]
    assert events[0]["message"]["usage"]["input_tokens"] == len(bench.engine.requests[0].prompt_ids)
    assert events[-2]["usage"]["output_tokens"] == len("Let me see. " + CALL + "\n" + OSLO)


async def test_a_whole_message_by_the_sdks_type() -> None:
    bench = Bench()
    response = await bench.post(BODY | {"metadata": {"user_id": "ann"}, "temperature": 0.5, "top_k": 4}, path=PATH)
    message = Message.model_validate(response.json())
    assert [block.type == "text" and block.text for block in message.content] == ["Hello."]
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 6)
    [action] = bench.recorder.actions
    assert (action.subject, action.sampling.temperature, action.sampling.top_k) == ("ann", 0.5, 4)
    assert message.id == f"msg_{action.id}"
    assert response.headers["request-id"] == action.request_id


@pytest.mark.parametrize("stream", [False, True])
async def test_the_stop_sequence_that_ended_a_reply_is_told(stream: bool) -> None:
    bench = Bench()
    bench.engine.stop_sequence = "END"
    response = await bench.post(BODY | {"stop_sequences": ["END", "STOP"], "stream": stream}, path=PATH)
    end = chunks_of(response.text)[-2]["delta"] if stream else response.json()
    assert (end["stop_reason"], end["stop_sequence"]) == ("stop_sequence", "END")
    assert bench.engine.requests[0].sampling.stop == ("END", "STOP")


async def test_a_length_is_a_bound_and_the_reply_says_which_one_it_met() -> None:
    bench = Bench()
    bench.engine.finish_reason = "length"
    reasons = [
        (await bench.post(BODY | {"max_tokens": length}, path=PATH)).json()["stop_reason"] for length in (100, 4096)
    ]
    assert reasons == ["max_tokens", "model_context_window_exceeded"]
    room = CONTEXT_LENGTH - len("<user>hi<assistant>")
    assert [request.sampling.max_tokens for request in bench.engine.requests] == [100, room]


async def test_a_failed_tool_says_so_in_words(bench: Bench) -> None:
    first = (await bench.post(BODY | {"tools": [WEATHER]}, path=PATH)).json()
    rome, oslo = (block["id"] for block in first["content"] if block["type"] == "tool_use")
    results = [
        {"type": "tool_result", "tool_use_id": rome, "content": "no such city", "is_error": True},
        {"type": "tool_result", "tool_use_id": oslo, "content": "Error: no such city", "is_error": True},
    ]
    said = [*HI, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}]
    await bench.post(BODY | {"messages": said}, path=PATH)
    [state] = bench.recorder.next_states
    assert [message.content for message in state.messages] == ["Error: no such city"] * 2


async def test_thinking_blocks_are_left_out() -> None:
    bench = Bench([["Hello."], ["Bye."]])
    await bench.post(BODY, path=PATH)
    thinking = {"type": "thinking", "thinking": "Well.", "signature": "s"}
    reply = {"role": "assistant", "content": [thinking, {"type": "text", "text": "Hello."}]}
    await bench.post(BODY | {"messages": [*HI, reply, *HI], "thinking": {"type": "enabled"}}, path=PATH)
    first, second = bench.recorder.actions
    assert second.parent_action_id == first.id


async def test_a_picture_is_recorded_as_what_it_is_in_every_protocol_and_refused() -> None:
    bench = Bench()
    await bench.post(BODY, path=PATH)
    reply = {"role": "assistant", "content": "Hello."}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    said = [*HI, reply, {"role": "user", "content": [image]}]
    response = await bench.post(BODY | {"messages": said}, path=PATH)
    assert response.status_code == 400
    assert "'image'" in response.json()["error"]["message"]
    url = "data:image/png;base64,AAAA"
    openais = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    await bench.post({"model": "assistant", "messages": [*HI, reply, openais]})
    items = [*HI, reply, {"role": "user", "content": [{"type": "input_image", "image_url": url}]}]
    await bench.post({"model": "assistant", "input": items}, path="/v1/responses")
    media = [state.messages[0].media[0] for state in bench.recorder.next_states]
    assert [medium.kind for medium in media] == ["image", "image_url", "input_image"]
    assert {(medium.digest, medium.num_bytes) for medium in media} == {(media[0].digest, 3)}


async def test_counting_tokens_draws_and_records_nothing(bench: Bench, client: AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model="assistant", messages=HI, system="[s]", tools=[WEATHER])
    assert bench.engine.requests == []
    assert bench.recorder.events == []
    await client.messages.create(model="assistant", messages=HI, system="[s]", tools=[WEATHER], max_tokens=10)
    assert counted.input_tokens == len(bench.engine.requests[0].prompt_ids)


@pytest.mark.parametrize(
    "change", [{"tools": [{"input_schema": {}}]}, {"tools": [{"name": "a b", "input_schema": {}}]}, {"tool_choice": {}}]
)
async def test_what_a_message_would_be_refused_for_is_not_counted(change: dict[str, Any]) -> None:
    body = {"model": "assistant", "messages": HI} | change
    counted = await Bench().post(body, path=f"{PATH}/count_tokens")
    asked = await Bench().post(body | {"max_tokens": 10}, path=PATH)
    assert counted.status_code == asked.status_code == 400
    assert counted.json()["error"] == asked.json()["error"]


async def test_the_models_list(client: AsyncAnthropic) -> None:
    assert [model.id async for model in client.models.list()] == ["assistant"]
    assert (await client.models.retrieve("assistant")).id == "assistant"
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("nobody")


@pytest.mark.parametrize(
    ("choice", "constrains", "shows"),
    [("auto", False, True), ("any", True, True), ("tool", True, True), ("none", False, False)],
)
async def test_tool_choices(bench: Bench, choice: str, constrains: bool, shows: bool) -> None:
    named = {"name": "weather"} if choice == "tool" else {}
    await bench.post(BODY | {"tools": [WEATHER], "tool_choice": {"type": choice, **named}}, path=PATH)
    [request] = bench.engine.requests
    assert (request.regex is not None) is constrains
    assert ("How warm" in "".join(map(chr, request.prompt_ids))) is shows


async def test_a_format_of_the_output_is_a_grammar() -> None:
    bench = Bench()
    await bench.post(BODY | {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, path=PATH)
    assert bench.engine.requests[0].json_schema is not None


async def test_keys_come_in_either_header() -> None:
    bench = Bench(api_keys={"key": "anna"})
    async with bench.listening() as url:
        for key in ({"api_key": "key"}, {"auth_token": "key"}):
            async with AsyncAnthropic(base_url=url, max_retries=0, **key) as sdk:
                await sdk.messages.create(**BODY)
        async with AsyncAnthropic(base_url=url, max_retries=0, api_key="wrong") as sdk:
            with pytest.raises(anthropic.AuthenticationError):
                await sdk.messages.create(**BODY)
    assert [action.tenant for action in bench.recorder.actions] == ["anna", "anna"]


async def test_an_engine_that_is_away_is_an_overload_that_the_sdk_would_retry() -> None:
    bench = Bench([[EngineUnavailableError("The engine does not answer.")]] * 10)
    response = await bench.post(BODY, path=PATH)
    assert (response.status_code, response.headers["retry-after"]) == (529, "5")
    assert ErrorResponse.model_validate(response.json()).error.type == "overloaded_error"


async def test_a_stream_that_breaks_off_ends_in_an_error_of_the_sdk() -> None:
    bench = Bench([["Hel", EngineUnavailableError("The engine died.")]])
    async with bench.listening() as url, AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as sdk:
        with pytest.raises(anthropic.APIStatusError, match="The engine died"):
            async for _ in await sdk.messages.create(**BODY, stream=True):
                pass


async def test_errors_are_the_sdks_own_classes(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        await client.messages.create(**BODY | {"model": "nobody"})
    error = ErrorResponse.model_validate(missing.value.body)
    assert (error.error.type, error.request_id) == ("not_found_error", missing.value.request_id)
    with pytest.raises(anthropic.BadRequestError) as long:
        await client.messages.create(**BODY | {"messages": [{"role": "user", "content": "long " * 200}]})
    assert "context" in str(long.value)


def blocks(*content: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"messages": [*HI, {"role": role, "content": list(content)}]}


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": None},
        {"max_tokens": 0},
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [*HI, {"role": "assistant", "content": "The answer is"}]},
        {"system": 3},
        {"temperature": 1.5},
        {"stop_sequences": "END"},
        {"metadata": {"user_id": 3}},
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        {"tools": [{"name": "no schema"}]},
        {"tools": [{"name": "a b", "input_schema": {}}]},
        {"tool_choice": {"type": "sometimes"}},
        {"tool_choice": {"type": "any"}},
        blocks({"type": "tool_use", "id": "1", "name": "weather", "input": "Rome"}, role="assistant"),
        blocks({"type": "tool_result", "content": "no id"}),
        blocks({"text": "no type"}),
        blocks({"type": "document", "source": {"type": "url", "url": "https://example.org"}}),
    ],
)
async def test_a_bad_field_is_one_sentence_in_anthropics_form(change: dict[str, Any]) -> None:
    bench = Bench()
    response = await bench.post(BODY | change, path=PATH)
    error = ErrorResponse.model_validate(response.json()).error
    assert (response.status_code, error.type) == (400, "invalid_request_error")
    assert error.message.endswith(".")
    assert bench.recorder.actions == []
