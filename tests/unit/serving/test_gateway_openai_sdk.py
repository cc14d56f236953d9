"""The gateway as the real OpenAI SDK sees it."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from tests.unit.serving.gateway_fakes import Bench, chunks_of, user
from tests.unit.serving.test_gateway import CALL, WEATHER


@pytest.fixture
async def bench() -> Bench:
    return Bench([["Hel", "lo."], ["Bye."]])


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[AsyncOpenAI]:
    http_client = bench.client()
    async with AsyncOpenAI(api_key="any", base_url="http://gateway/v1", http_client=http_client, max_retries=0) as sdk:
        yield sdk


async def test_a_completion(client: AsyncOpenAI) -> None:
    reply = await client.chat.completions.create(
        model="assistant", messages=[{"role": "user", "content": "hi"}], logprobs=True
    )
    assert reply.choices[0].message.content == "Hello."
    assert reply.choices[0].logprobs is not None
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 6


async def test_a_conversation_in_which_the_sdks_own_message_objects_are_sent_back(
    bench: Bench, client: AsyncOpenAI
) -> None:
    question = {"role": "user", "content": "hi"}
    reply = await client.chat.completions.create(model="assistant", messages=[question])
    history = [question, reply.choices[0].message, {"role": "user", "content": "bye"}]
    await client.chat.completions.create(model="assistant", messages=history)
    first, second = bench.recorder.actions
    assert second.parent_action_id == first.id
    assert not second.ambiguous


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_with_parallel_tools(bench: Bench, client: AsyncOpenAI, stream: bool) -> None:
    bench.engine.script = [["Let me see. " + CALL + CALL.replace("Rome", "Oslo")], ["Rome 20, Oslo 9."], ["Bye."]]
    strict = WEATHER | {"function": WEATHER["function"] | {"strict": True}}
    said: list[Any] = [user("weather?")]

    async def ask() -> Any:
        fields: Any = {"model": "assistant", "messages": said, "tools": [strict]}
        if not stream:
            return (await client.chat.completions.create(**fields)).choices[0].message
        async with client.chat.completions.stream(**fields) as chunks:
            return (await chunks.get_final_completion()).choices[0].message

    first = await ask()
    assert [call.function.arguments for call in first.tool_calls] == ['{"city":"Rome"}', '{"city":"Oslo"}']
    said += [first.model_dump(exclude_none=True) if stream else first]  # the helper's own objects hold parsed copies
    said += [
        {"role": "tool", "tool_call_id": call.id, "content": degrees}
        for call, degrees in zip(first.tool_calls, ("20", "9"), strict=True)
    ]
    said += [await ask(), user("bye")]
    await ask()
    actions, states = bench.recorder.actions, bench.recorder.next_states
    assert [action.parent_action_id for action in actions] == [None, *(action.id for action in actions[:-1])]
    assert not any(action.ambiguous for action in actions)
    assert [[message.content for message in state.messages] for state in states] == [["20", "9"], ["bye"]]


async def test_completions_and_chunks_are_what_the_sdks_types_say(bench: Bench) -> None:
    bench.engine.script = [["Wait. " + CALL]] * 2
    body = {"model": "assistant", "messages": [user("hi")], "tools": [WEATHER], "logprobs": True}
    ChatCompletion.model_validate((await bench.post(body)).json())
    for chunk in chunks_of((await bench.post(body | {"stream": True})).text):
        assert ChatCompletionChunk.model_validate(chunk).object == "chat.completion.chunk"


async def test_a_stream_with_usage(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="assistant",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Hello."
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


async def test_the_sdks_stream_helper_gathers_text_and_tool_calls(bench: Bench, client: AsyncOpenAI) -> None:
    bench.engine.script = [["Wait. " + CALL]]
    strict = WEATHER | {"function": WEATHER["function"] | {"strict": True}}
    async with client.chat.completions.stream(
        model="assistant", messages=[{"role": "user", "content": "weather?"}], tools=[strict]
    ) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    message = final.choices[0].message
    assert message.content == "Wait."
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == '{"city":"Rome"}'


async def test_structured_output(bench: Bench, client: AsyncOpenAI) -> None:
    class City(BaseModel):
        name: str

    bench.engine.script = [['{"name": "Rome"}']]
    reply = await client.chat.completions.parse(
        model="assistant", messages=[{"role": "user", "content": "which city?"}], response_format=City
    )
    assert reply.choices[0].message.parsed == City(name="Rome")
    assert bench.engine.requests[0].json_schema is not None


async def test_errors_are_the_sdks_own_classes(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "hi"}])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        await client.chat.completions.create(model="assistant", messages=[{"role": "user", "content": "long " * 200}])
    assert long.value.code == "context_length_exceeded"


async def test_the_models_list(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["assistant"]
    assert (await client.models.retrieve("assistant")).id == "assistant"
