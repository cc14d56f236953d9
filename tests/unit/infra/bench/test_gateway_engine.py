"""The scripted engine as both doors' clients read it, and the client that times it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from infra.bench.gateway.load import Caller, Side, Talk, caller
from infra.bench.gateway.script import NUM_TOKENS, Script
from infra.bench.gateway.sides import running_engine
from schemas.errors import FatalError
from schemas.events import Sampling
from serving.config import EngineConfig
from serving.engine import GenerateRequest, SGLangEngine
from serving.rendering import ChatRenderer


@pytest.fixture(scope="module")
def side(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with running_engine(str(model_path), tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture(scope="module")
def script(model_path: Path) -> Script:
    return Script.of(ChatRenderer(model_path))


def talk(*, is_streaming: bool, num_turns: int = 2) -> Talk:
    return Talk(system_prompt=lambda turn: f"Turn {turn}.", num_turns=num_turns, is_streaming=is_streaming)


def test_an_answer_is_the_policys_own_tokens_and_no_two_are_alike(model_path: Path, script: Script) -> None:
    renderer, answers = ChatRenderer(model_path), [script.answer(number) for number in (0, 7, 123_456)]
    for answer in answers:
        assert len(answer) == NUM_TOKENS
        text = "".join(token.text for token in answer)
        assert text == renderer.decode([token.id for token in answer])
        assert script.is_answer(text)
        assert not script.is_answer(text[:-1])
        assert not script.is_answer(text[1:])
    assert len(set(answers)) == 3
    assert answers[1][-1].text == ""  # it ends as the model ends it


async def test_the_gateways_engine_client_reads_exact_tokens(side: Side, script: Script, model_path: Path) -> None:
    engine = SGLangEngine(side.url, EngineConfig(model_path=str(model_path)))
    request = GenerateRequest(prompt_ids=(1, 2, 3), sampling=Sampling(max_tokens=64))
    chunks = [chunk async for chunk in engine.generate(request)]
    await engine.close()
    assert [len(chunk.ids) for chunk in chunks] == [len(chunk.logprobs) for chunk in chunks] == [1] * NUM_TOKENS
    assert script.is_answer("".join(chunk.text_delta for chunk in chunks))
    assert [chunk.finish_reason for chunk in chunks] == [None] * (NUM_TOKENS - 1) + ["stop"]


async def test_openais_client_reads_the_same_streamed_and_whole(side: Side, script: Script) -> None:
    async with openai.AsyncOpenAI(base_url=f"{side.url}/v1", api_key="any") as client:
        ask = client.chat.completions.create
        whole = await ask(model=side.model, messages=[], logprobs=True, top_logprobs=1)
        stream = await ask(model=side.model, messages=[], stream=True)
        chunks = [chunk.choices[0] async for chunk in stream]
    assert script.is_answer(whole.choices[0].message.content or "")
    assert whole.choices[0].logprobs is not None
    assert len(whole.choices[0].logprobs.content or ()) == NUM_TOKENS
    assert script.is_answer("".join(chunk.delta.content or "" for chunk in chunks))
    assert chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize("is_streaming", [True, False])
async def test_answers_keep_the_pace_and_a_talk_times_each_turn(side: Side, script: Script, is_streaming: bool) -> None:
    async with caller(script) as client:
        await client.set_pace(side, first_token_s=0.03, token_s=0.005)
        timings = await client.talk(side, talk(is_streaming=is_streaming), 0)
        await client.set_pace(side, first_token_s=0.0, token_s=0.0)
    assert client.num_answers == len(timings) == 2
    for timing in timings:
        assert timing.whole_s >= 0.03 + 0.005 * (NUM_TOKENS - 1)
        if is_streaming:
            assert timing.first_token_s is not None
            assert 0.03 <= timing.first_token_s < timing.whole_s
        else:
            assert timing.first_token_s is None


async def test_each_request_resends_what_was_said(script: Script) -> None:
    said = talk(is_streaming=False)
    history = said.messages(3, [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    assert [message["content"] for message in history] == ["Turn 7.", "a", "b"]
    side = Side(name="reference", url="", model="m", headers={"a": "b"}, takes_sessions=True, pids=())
    last = said.headers(side, 3, 1)
    assert (last["a"], last["x-session-id"], last["x-turn-type"]) == ("b", "talk-3", "main")
    assert [said.headers(side, 3, turn)["x-session-done"] for turn in (0, 1)] == ["false", "true"]


async def _failing(client: Caller, side: Side) -> str:
    with pytest.raises(FatalError) as failure:
        await client.talk(side, talk(is_streaming=True), 0)
    return str(failure.value)


async def test_what_is_no_answer_of_the_engine_is_no_figure(side: Side, script: Script) -> None:
    elsewhere = Side(name="gateway", url=f"{side.url}/none", model="m", headers={}, takes_sessions=False, pids=())
    nowhere = Side(name="gateway", url="http://127.0.0.1:9", model="m", headers={}, takes_sessions=False, pids=())
    async with caller(script) as client:
        assert "refused (404)" in await _failing(client, elsewhere)
        assert "did not answer" in await _failing(client, nowhere)
        assert client.num_answers == 0
    other = Script(digits=script.digits, sentence=script.sentence[:5])
    async with caller(other) as client:
        assert "which the engine did not" in await _failing(client, side)


def test_the_engine_counts_what_it_draws(side: Side) -> None:
    def drawn() -> int:
        return int(httpx.get(f"{side.url}/drawn", trust_env=False).json())

    before = drawn()
    httpx.post(f"{side.url}/v1/chat/completions", json={"messages": []}, trust_env=False)
    assert drawn() == before + 1
