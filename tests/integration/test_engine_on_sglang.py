"""The client against real SGLang: the trainer's numbers, exact text, and control that disturbs nobody."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from schemas.events import Message, Sampling
from serving.engine import EngineChunk, GenerateRequest, SGLangEngine
from serving.errors import EngineRefusedError
from serving.grammar import grammar_for
from serving.rendering import ChatRenderer
from tests.integration.adapters import Reference, random_adapter

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ADAPTER = "parity@1"
MEAN_TOLERANCE, LARGEST_TOLERANCE = 1e-4, 1e-3  # nats; measured 3e-6 and 3e-5
QUESTIONS = ("How can I sleep better?", "Explain photosynthesis.", "Write a short poem about rain.")
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["c", "f"]}},
            "required": ["city", "unit"],
        },
    },
}


@dataclass
class Reply:
    text: str = ""
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    chunks: list[EngineChunk] = field(default_factory=list)

    @property
    def finish_reason(self) -> str | None:
        return self.chunks[-1].finish_reason


@pytest.fixture(scope="session")
def renderer(model_path: Path) -> ChatRenderer:
    return ChatRenderer(model_path)


@pytest.fixture
async def client(engine: Any) -> AsyncIterator[SGLangEngine]:
    config = engine.config.model_copy(update={"model_path": str(engine.model_path)})
    client = SGLangEngine(engine.url, config)
    yield client
    await client.close()


@pytest.fixture(scope="session")
def adapter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters") / "one"


@pytest.fixture(scope="session")
def reference(model_path: Path, adapter_folder: Path) -> Reference:
    return Reference(random_adapter(model_path, adapter_folder, seed=0))


@pytest.fixture
async def adapter(client: SGLangEngine, reference: Reference, adapter_folder: Path) -> str:
    if ADAPTER not in await client.loaded_adapters():
        await client.load_adapter(ADAPTER, adapter_folder)
    return ADAPTER


async def draw(client: SGLangEngine, prompt: tuple[int, ...], sampling: Sampling, **fields: Any) -> Reply:
    reply = Reply()
    async for chunk in client.generate(GenerateRequest(prompt_ids=prompt, sampling=sampling, **fields)):
        reply.text += chunk.text_delta
        reply.ids += chunk.ids
        reply.logprobs += chunk.logprobs
        reply.chunks.append(chunk)
    return reply


def ask(renderer: ChatRenderer, question: str) -> tuple[int, ...]:
    return renderer.render((Message(role="user", content=question),), "[]", "{}")


async def num_running(url: str) -> int:
    async with httpx.AsyncClient() as http:
        loads = (await http.get(f"{url}/v1/loads")).json()["loads"]
    return sum(load["num_running_reqs"] + load["num_waiting_reqs"] for load in loads)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("with_adapter", [False, True])
async def test_engine_and_trainer_agree_on_the_logprob_of_the_same_tokens(
    client: SGLangEngine,
    renderer: ChatRenderer,
    reference: Reference,
    adapter: str,
    temperature: float,
    with_adapter: bool,
) -> None:
    compute = reference.logprobs if with_adapter else reference.base_logprobs
    sampling = Sampling(temperature=temperature, max_tokens=40)
    name = adapter if with_adapter else None
    prompts = [ask(renderer, question) for question in QUESTIONS]
    replies = await asyncio.gather(*(draw(client, prompt, sampling, adapter=name) for prompt in prompts))
    differences = torch.cat(
        [
            (torch.tensor(reply.logprobs) - compute(prompt, reply.ids, temperature)).abs()
            for prompt, reply in zip(prompts, replies, strict=True)
        ]
    )
    assert len(differences) > 60
    assert differences.mean() < MEAN_TOLERANCE
    assert differences.max() < LARGEST_TOLERANCE


async def test_the_adapter_is_really_used(
    client: SGLangEngine, renderer: ChatRenderer, reference: Reference, adapter: str
) -> None:
    prompt = ask(renderer, QUESTIONS[0])
    reply = await draw(client, prompt, Sampling(max_tokens=20), adapter=adapter)
    apart = (torch.tensor(reply.logprobs) - reference.base_logprobs(prompt, reply.ids, 1.0)).abs()
    assert apart.mean() > 100 * MEAN_TOLERANCE


async def test_text_is_streamed_as_it_is_drawn_and_without_the_end_token(
    client: SGLangEngine, renderer: ChatRenderer
) -> None:
    reply = await draw(client, ask(renderer, "Say hi."), Sampling(temperature=0.0, max_tokens=80))
    assert reply.finish_reason == "stop"
    assert reply.ids[-1] == renderer._tokenizer.token_to_id("<|im_end|>")
    assert reply.text == renderer.decode(reply.ids)
    assert "<|" not in reply.text
    assert len(reply.chunks) > 5


async def test_a_stop_string_is_cut_from_the_text_and_kept_in_the_tokens(
    client: SGLangEngine, renderer: ChatRenderer
) -> None:
    prompt = ask(renderer, "Count from 1 to 20, with commas.")
    whole = await draw(client, prompt, Sampling(temperature=0.0, max_tokens=40))
    stop = whole.text[8:12]
    reply = await draw(client, prompt, Sampling(temperature=0.0, max_tokens=40, stop=(stop,)))
    assert reply.finish_reason == "stop"
    assert reply.text == whole.text[: whole.text.index(stop)]
    assert renderer.decode(reply.ids).startswith(reply.text + stop)
    assert whole.ids[: len(reply.ids)] == reply.ids


async def test_a_character_of_several_tokens_arrives_whole(client: SGLangEngine, renderer: ChatRenderer) -> None:
    parrots = "🦜🦜🦜🦜🦜🦜"
    reply = await draw(client, ask(renderer, f"Repeat: {parrots}"), Sampling(max_tokens=6), regex=parrots)
    assert "".join(chunk.text_delta for chunk in reply.chunks[:-1]).strip("🦜") == ""


async def test_the_longest_reply_is_what_was_asked_for(client: SGLangEngine, renderer: ChatRenderer) -> None:
    reply = await draw(client, ask(renderer, "Write a long story."), Sampling(max_tokens=7))
    assert (reply.finish_reason, len(reply.ids)) == ("length", 7)


async def test_what_does_not_fit_is_refused_with_the_engines_reason(client: SGLangEngine) -> None:
    with pytest.raises(EngineRefusedError, match="2048"):
        await draw(client, (5,) * 2100, Sampling(max_tokens=1))


async def test_an_unknown_adapter_is_refused(client: SGLangEngine, renderer: ChatRenderer) -> None:
    with pytest.raises(EngineRefusedError, match="never been loaded: nobody@7"):
        await draw(client, ask(renderer, "Hi"), Sampling(max_tokens=1), adapter="nobody@7")


async def test_a_forced_tool_call_is_one_that_the_renderer_reads(client: SGLangEngine, renderer: ChatRenderer) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    grammar = grammar_for([TOOL], choice, None).built()
    reply = await draw(client, ask(renderer, "How warm is it in Paris?"), Sampling(max_tokens=150), regex=grammar.regex)
    assert reply.finish_reason == "stop", reply.text
    message = renderer.parse_reply(reply.text)
    assert message.content == ""
    assert [call.name for call in message.tool_calls] == ["get_weather"]
    assert re.fullmatch(r'\{"city":".{0,20}","unit":"[cf]"\}', message.tool_calls[0].arguments)


async def test_a_json_schema_constrains_the_text(client: SGLangEngine, renderer: ChatRenderer) -> None:
    schema = '{"type":"object","properties":{"n":{"enum":[1,2]}},"required":["n"],"additionalProperties":false}'
    reply = await draw(client, ask(renderer, "Say 7."), Sampling(max_tokens=60), json_schema=schema)
    assert re.fullmatch(r'\{"n": ?[12]\}', reply.text)


async def test_a_grammar_changes_the_reported_logprobs_so_it_must_be_recorded(
    client: SGLangEngine, renderer: ChatRenderer, reference: Reference
) -> None:
    prompt = ask(renderer, "Say hi.")
    forced = await draw(client, prompt, Sampling(max_tokens=8), regex="zq")
    assert forced.logprobs[0] - reference.base_logprobs(prompt, forced.ids, 1.0)[0] > 1.0


async def test_a_reader_that_leaves_frees_the_engine(client: SGLangEngine, renderer: ChatRenderer, engine: Any) -> None:
    request = GenerateRequest(
        prompt_ids=ask(renderer, "Write a very long story."), sampling=Sampling(max_tokens=1500), regex="[a-z ]{4000,}"
    )
    async with aclosing(client.generate(request)) as chunks:
        await anext(chunks)
    async with asyncio.timeout(30):
        while await num_running(engine.url) > 0:
            await asyncio.sleep(0.2)


async def test_loading_an_adapter_disturbs_no_running_request(
    client: SGLangEngine, renderer: ChatRenderer, reference: Reference, adapter: str, adapter_folder: Path
) -> None:
    prompt, sampling = ask(renderer, "Write a long story."), Sampling(max_tokens=100)
    drawing = asyncio.create_task(draw(client, prompt, sampling, adapter=adapter))
    await asyncio.sleep(0.5)
    await client.load_adapter("other@1", adapter_folder)
    assert {adapter, "other@1"} <= await client.loaded_adapters()
    assert not drawing.done()
    reply = await drawing
    expected = reference.logprobs(prompt, reply.ids, 1.0)
    assert (torch.tensor(reply.logprobs) - expected).abs().mean() < MEAN_TOLERANCE
    await client.unload_adapter("other@1")
    assert "other@1" not in await client.loaded_adapters()


async def test_unloading_waits_for_requests_and_breaks_none(
    engine: Any, client: SGLangEngine, renderer: ChatRenderer, adapter_folder: Path
) -> None:
    await client.load_adapter("leaving@1", adapter_folder)
    prompt = ask(renderer, "Write a long story.")
    drawing = asyncio.create_task(draw(client, prompt, Sampling(max_tokens=60), adapter="leaving@1"))
    async with asyncio.timeout(30):
        while not await num_running(engine.url):
            await asyncio.sleep(0.05)
    await client.unload_adapter("leaving@1")
    assert not await num_running(engine.url)  # asks the engine: the reply's last bytes may not be here yet
    reply = await asyncio.wait_for(drawing, 30)
    assert reply.finish_reason in {"stop", "length"}
    assert len(reply.logprobs) == len(reply.ids) > 1


async def test_a_name_that_is_taken_is_refused(client: SGLangEngine, adapter: str, adapter_folder: Path) -> None:
    with pytest.raises(EngineRefusedError, match="already loaded"):
        await client.load_adapter(adapter, adapter_folder)


async def test_what_one_tenant_has_asked_is_not_in_the_cache_for_another(
    client: SGLangEngine, renderer: ChatRenderer
) -> None:
    prompt = ask(renderer, "The vault of acme opens at nine, but who has the key to it on a Sunday morning?")
    cached = {}
    for turn, tenant in enumerate(("acme", "acme", "bolt", "default")):
        reply = await draw(client, prompt, Sampling(max_tokens=1), tenant=tenant)
        cached[turn] = reply.chunks[-1].cached_tokens
    assert cached[1] > cached[0] == cached[2] == 0
    assert cached[3] < cached[1]


async def test_an_instance_keeps_its_name_and_is_healthy(client: SGLangEngine) -> None:
    assert await client.health()
    assert await client.instance() == await client.instance()


async def test_scores_are_the_log_probs_with_which_the_same_tokens_were_drawn(
    client: SGLangEngine, renderer: ChatRenderer, adapter: str, reference: Reference
) -> None:
    prompt = renderer.render((Message(role="user", content=QUESTIONS[0]),), "[]", "{}")
    reply = await draw(client, prompt, Sampling(temperature=1.0, max_tokens=16), adapter=adapter)
    own = await client.score(prompt, reply.ids, adapter)
    base = await client.score(prompt, reply.ids, None)
    assert own == pytest.approx(reply.logprobs, abs=LARGEST_TOLERANCE)
    expected = reference.base_logprobs(prompt, reply.ids, 1.0).tolist()
    assert base == pytest.approx(expected, abs=LARGEST_TOLERANCE)
