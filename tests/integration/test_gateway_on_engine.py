"""The gateway process on a real broker and a real SGLang: clients get what the log holds, also over a restart."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from schemas.errors import MissingRuntimeError
from schemas.events import ActionTaken, NextStateObserved
from schemas.prompt import resolve
from serving.config import EngineConfig, GatewayConfig
from serving.gateway_process import run_gateway
from serving.rendering import ChatRenderer
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import ACTIONS, NEXT_STATES

pytestmark = [pytest.mark.kafka, pytest.mark.engine]
QUESTION = {"role": "user", "content": "Name a colour."}


@asynccontextmanager
async def gateway(kafka: KafkaConfig, engine: Any, home: Path) -> AsyncIterator[AsyncOpenAI]:
    config = GatewayConfig(port=free_port())
    running = asyncio.create_task(
        run_gateway(
            config,
            kafka,
            EngineConfig(),
            engine_url=engine.url,
            model_path=Path(engine.model_path),
            policy="assistant",
            home=home,
            heartbeat=home / "heartbeat",
        )
    )
    url = f"http://{config.host}:{config.port}"
    try:
        await ready(url, running)
        async with AsyncOpenAI(api_key="any", base_url=f"{url}/v1", timeout=60, max_retries=0) as client:
            yield client
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def ready(url: str, running: "asyncio.Task[None]") -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(60):
        while not running.done():
            try:
                if (await client.get(f"{url}/health")).is_success:
                    return
            except httpx.ConnectError:
                pass
            await asyncio.sleep(0.1)
    await running


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def recorded(kafka: KafkaConfig) -> tuple[list[ActionTaken], list[NextStateObserved]]:
    events = [record.event for record in read_all(kafka, [ACTIONS, NEXT_STATES])]
    actions = [event for event in events if isinstance(event, ActionTaken)]
    return sorted(actions, key=lambda action: action.time_ms), [e for e in events if isinstance(e, NextStateObserved)]


async def test_a_conversation_over_a_restart_is_one_conversation_in_the_log(
    kafka: KafkaConfig, engine: Any, tmp_path: Path
) -> None:
    async with gateway(kafka, engine, tmp_path) as client:
        first_reply = await client.chat.completions.create(
            model="assistant", messages=[QUESTION], max_tokens=12, logprobs=True
        )
        assert (tmp_path / "heartbeat").exists()
    message = first_reply.choices[0].message
    thanks = {"role": "user", "content": "Thanks, another one."}
    async with gateway(kafka, engine, tmp_path) as client:
        stream = await client.chat.completions.create(
            model="assistant",
            messages=[QUESTION, {"role": "assistant", "content": message.content}, thanks],
            max_tokens=12,
            stream=True,
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    (first, second), [state] = recorded(kafka)
    assert (first.reply.content, second.reply.content) == (message.content, text)
    assert (state.action_id, state.messages[0].content) == (first.id, thanks["content"])
    assert (second.parent_action_id, second.conversation_id) == (first.id, first.conversation_id)
    assert first_reply.choices[0].logprobs is not None
    assert first_reply.choices[0].logprobs.content is not None
    renderer = ChatRenderer(Path(engine.model_path))
    drawn = zip(first.response_ids, first.response_logprobs, strict=True)
    of_words = [logprob for token_id, logprob in drawn if not renderer.token(token_id).is_special]
    assert [token.logprob for token in first_reply.choices[0].logprobs.content] == of_words

    whole = resolve(second, resolve(first, None))
    assert second.kept_prompt_tokens > 0
    assert whole.prompt_ids == renderer.render(whole.messages, "[]", "{}")
    assert renderer.decode(second.response_ids).startswith(text)


async def test_each_protocol_continues_what_another_one_began(kafka: KafkaConfig, engine: Any, tmp_path: Path) -> None:
    async with gateway(kafka, engine, tmp_path) as client:
        first = await client.responses.create(
            model="assistant", input="Name a colour.", max_output_tokens=12, temperature=0
        )
    async with gateway(kafka, engine, tmp_path) as client:
        second = await client.responses.create(
            model="assistant", input="Why?", previous_response_id=first.id, max_output_tokens=12, temperature=0
        )
        said: Any = [
            QUESTION,
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": second.output_text},
            {"role": "user", "content": "Look it up."},
        ]
        schema = {"type": "object", "properties": {"page": {"enum": [1, 2]}}, "required": ["page"]}
        look_up: Any = {"name": "look_up", "input_schema": schema}
        url = str(client.base_url).removesuffix("/v1/")
        async with AsyncAnthropic(api_key="any", base_url=url, timeout=60, max_retries=0) as other:
            fields: Any = {"model": "assistant", "max_tokens": 100, "tools": [look_up]}
            fields["extra_body"] = {"temperature": 0}  # the SDK has no name for it any more, the API has
            third = await other.messages.create(messages=said, tool_choice={"type": "any"}, **fields)
            [call] = third.content
            assert call.type == "tool_use"
            result = {"type": "tool_result", "tool_use_id": call.id, "content": "The sky is blue."}
            said += [{"role": "assistant", "content": third.content}, {"role": "user", "content": [result]}]
            async with other.messages.stream(messages=said, stop_sequences=["e"], **fields) as stream:
                fourth = await stream.get_final_message()

    actions, states = recorded(kafka)
    assert [action.parent_action_id for action in actions] == [None, *(action.id for action in actions[:-1])]
    assert {state.action_id for state in states} == {action.id for action in actions[:-1]}
    assert not any(action.ambiguous for action in actions)
    assert [call.name for call in actions[2].reply.tool_calls] == ["look_up"]
    assert (fourth.stop_reason, fourth.stop_sequence) == ("stop_sequence", "e")
    assert [second.usage and second.usage.output_tokens, fourth.usage.output_tokens] == [
        len(action.response_ids) for action in (actions[1], actions[3])
    ]


async def test_a_client_that_leaves_mid_stream_stops_real_sglang_and_is_recorded(
    kafka: KafkaConfig, engine: Any, tmp_path: Path
) -> None:
    async with gateway(kafka, engine, tmp_path) as client:
        story = [{"role": "user", "content": "Tell me a very long story."}]
        stream = await client.chat.completions.create(
            model="assistant", messages=story, max_tokens=1500, stream=True, extra_body={"logit_bias": {"2": -100}}
        )
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        async with asyncio.timeout(20):
            while not recorded(kafka)[0]:
                await asyncio.sleep(0.2)
    [action], _ = recorded(kafka)
    assert action.finish_reason == "aborted"
    assert 0 < len(action.response_ids) == len(action.response_logprobs) < 200


async def test_a_taken_port_is_a_sentence(kafka: KafkaConfig, engine: Any, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MissingRuntimeError, match=r"gateway\.port"):
            await run_gateway(
                GatewayConfig(port=taken.getsockname()[1]),
                kafka,
                EngineConfig(),
                engine_url=engine.url,
                model_path=Path(engine.model_path),
                policy="assistant",
                home=tmp_path,
                heartbeat=tmp_path / "heartbeat",
            )


async def test_a_gateway_process_that_is_told_to_stop_ends_by_itself(
    kafka: KafkaConfig, engine: Any, tmp_path: Path
) -> None:
    port = free_port()
    program = f"""
import asyncio
from pathlib import Path
from serving.config import EngineConfig, GatewayConfig
from serving.gateway_process import run_gateway
from streams.config import KafkaConfig
kafka = KafkaConfig.model_validate_json({kafka.model_dump_json()!r})
home = Path({str(tmp_path)!r})
asyncio.run(run_gateway(GatewayConfig(port={port}), kafka, EngineConfig(), engine_url={engine.url!r},
    model_path=Path({str(engine.model_path)!r}), policy="assistant", home=home, heartbeat=home / "heartbeat"))
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=os.environ)
    await ready(f"http://127.0.0.1:{port}", asyncio.create_task(ended(process)))
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 15) == 0


async def ended(process: asyncio.subprocess.Process) -> None:
    await process.wait()
