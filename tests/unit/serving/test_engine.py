"""The engine client: exact tokens out of the wire format, and one sentence for everything that goes wrong."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import EngineUnavailableError, MalformedEventError, SettingsError, TokenMismatchError
from schemas.events import Sampling
from serving.config import EngineConfig
from serving.engine import EngineChunk, GenerateRequest, SGLangEngine
from serving.errors import EngineRefusedError
from tests.unit.serving.sglang_fake import STOP, FakeSGLang, serve, token_event

VOCAB_SIZE = 100
REQUEST = GenerateRequest(prompt_ids=(7, 8, 9), sampling=Sampling(max_tokens=5))


@pytest.fixture
def config(tmp_path: Path) -> EngineConfig:
    (tmp_path / "config.json").write_text(f'{{"vocab_size": {VOCAB_SIZE}}}')
    return EngineConfig(model_path=str(tmp_path), api_key="data-key", admin_api_key="admin-key", token_timeout_s=1.0)


@pytest.fixture
def fake() -> FakeSGLang:
    return FakeSGLang()


@pytest.fixture
async def engine(fake: FakeSGLang, config: EngineConfig) -> AsyncIterator[SGLangEngine]:
    async with serve(fake) as url:
        client = SGLangEngine(url, config)
        yield client
        await client.close()


async def draw(engine: SGLangEngine, request: GenerateRequest = REQUEST) -> list[EngineChunk]:
    return [chunk async for chunk in engine.generate(request)]


async def test_chunks_that_hold_only_what_is_new_are_taken_as_they_are(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.events = [token_event([11], 1, "Hel"), token_event([12, 13], 3, "lo"), token_event([2], 4, "", STOP)]
    chunks = await draw(engine)
    assert [chunk.text_delta for chunk in chunks] == ["Hel", "lo", ""]
    assert [chunk.ids for chunk in chunks] == [(11,), (12, 13), (2,)]
    assert [chunk.logprobs for chunk in chunks] == [(-0.11,), (-0.12, -0.13), (-0.02,)]
    assert [chunk.finish_reason for chunk in chunks] == [None, None, "stop"]
    assert chunks[0].cached_tokens == 2


async def test_chunks_that_hold_everything_so_far_give_the_same_deltas(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.events = [
        token_event([11], 1, "Hel"),
        token_event([11, 12, 13], 3, "Hello"),
        token_event([11, 12, 13, 2], 4, "Hello", STOP),
    ]
    chunks = await draw(engine)
    assert [chunk.text_delta for chunk in chunks] == ["Hel", "lo", ""]
    assert [chunk.ids for chunk in chunks] == [(11,), (12, 13), (2,)]
    assert [chunk.logprobs for chunk in chunks] == [(-0.11,), (-0.12, -0.13), (-0.02,)]


async def test_characters_that_break_lines_in_text_do_not_break_the_stream(
    engine: SGLangEngine, fake: FakeSGLang
) -> None:
    text = "a\u2028b\u0085c\x0bd\r\ne"
    fake.events = [token_event([11], 1, text, STOP)]
    assert (await draw(engine))[0].text_delta == text


async def test_an_event_cut_between_packets_is_put_together(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.events = [b'data: {"text": "\xc3', b'\xa9", "output_ids": [11], "meta_info": {"finish_reason": ']
    fake.events += [
        b'{"type": "length"}, "prompt_tokens": 3, "cached_tokens": 0, "completion_tokens": 1, "output_token_logprobs":',
        b" [[-0.5, 11, null]]}}\n",
        b"\n",
    ]
    chunks = await draw(engine)
    assert [(chunk.text_delta, chunk.finish_reason) for chunk in chunks] == [("é", "length")]


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        (STOP, "stop"),
        ({"type": "length", "length": 5}, "length"),
        ({"type": "abort", "message": "Aborted", "status_code": None}, "aborted"),
        ({"type": "something new"}, "error"),
    ],
)
async def test_every_finish_reason_of_the_engine_has_one_of_ours(
    engine: SGLangEngine, fake: FakeSGLang, finish: dict[str, Any], expected: str
) -> None:
    fake.events = [token_event([11], 1, "x", finish)]
    assert (await draw(engine))[-1].finish_reason == expected


@pytest.mark.parametrize(("matched", "told"), [("END", "END"), (2, None)])
async def test_the_stop_string_that_ended_a_reply_is_told_and_an_end_token_is_not(
    engine: SGLangEngine, fake: FakeSGLang, matched: str | int, told: str | None
) -> None:
    fake.events = [token_event([11], 1, "x", {"type": "stop", "matched": matched})]
    assert (await draw(engine))[-1].stop_sequence == told


@pytest.mark.parametrize(
    "event",
    [
        token_event([11, 12], 3, "x"),  # one id too few
        token_event([11, 12], 2, "x", logprobs=[-0.1]),  # one log-prob too few
        token_event([11], 1, "x", logprobs=[None]),  # a token without a log-prob
        {**token_event([11], 1, "x"), "output_ids": [12]},  # the log-prob of another token
    ],
)
async def test_ids_and_logprobs_that_do_not_match_are_refused(
    engine: SGLangEngine, fake: FakeSGLang, event: dict[str, Any]
) -> None:
    fake.events = [event]
    with pytest.raises(TokenMismatchError):
        await draw(engine)


async def test_a_reply_of_another_form_is_a_sentence(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.events = [{"text": "x"}]
    with pytest.raises(MalformedEventError, match="lacks 'meta_info'"):
        await draw(engine)
    fake.events = [b"data: [1]\n\n"]
    with pytest.raises(MalformedEventError, match="no JSON object"):
        await draw(engine)


async def test_an_answer_that_is_no_json_is_an_engine_that_is_away(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.events = [b"<html>"]  # and a status of 200
    with pytest.raises(EngineUnavailableError):
        await engine.loaded_adapters()
    fake.replies["/v1/models"] = (200, ["no object"])
    with pytest.raises(EngineUnavailableError, match="no JSON object"):
        await engine.loaded_adapters()


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "too long", "code": 400}},
        {"error": "too long"},
        token_event([], 0, "", {"type": "abort", "message": "too long", "status_code": 400}),
    ],
)
async def test_a_refusal_inside_a_stream_is_a_refusal(
    engine: SGLangEngine, fake: FakeSGLang, event: dict[str, Any]
) -> None:
    fake.events = [event]
    with pytest.raises(EngineRefusedError, match="too long") as refused:
        await draw(engine)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, EngineRefusedError),
        (400, EngineRefusedError),
        (401, EngineRefusedError),
        (500, EngineRefusedError),
        (429, EngineUnavailableError),
        (503, EngineUnavailableError),
    ],
)
@pytest.mark.parametrize("form", [{"error": {"message": "why"}}, {"error": "why"}, {"message": "why"}, "why"])
async def test_a_status_says_whether_asking_again_helps(
    engine: SGLangEngine, fake: FakeSGLang, status: int, error: type[Exception], form: object
) -> None:
    fake.replies["/generate"] = (status, form)
    with pytest.raises(error, match=rf"^The engine answered {status}: .*why"):
        await draw(engine)


async def test_a_reply_that_ends_without_a_finish_is_an_engine_that_is_away(
    engine: SGLangEngine, fake: FakeSGLang
) -> None:
    fake.events = [token_event([11], 1, "x")]
    with pytest.raises(EngineUnavailableError, match="in the middle"):
        await draw(engine)


async def test_a_connection_that_breaks_in_a_reply_is_an_engine_that_is_away(config: EngineConfig) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\ndata: {")
        writer.close()

    async with await asyncio.start_server(break_off, "127.0.0.1", 0) as server:
        engine = SGLangEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", config)
        with pytest.raises(EngineUnavailableError, match="broke off"):
            await draw(engine)
        await engine.close()


async def test_a_silent_engine_is_given_up(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.events, fake.hang = [token_event([11], 1, "x")], asyncio.Event()
    with pytest.raises(EngineUnavailableError, match="did not answer in time"):
        await draw(engine)


async def test_nobody_listening_is_an_engine_that_is_away(config: EngineConfig) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        engine = SGLangEngine(f"http://127.0.0.1:{taken.getsockname()[1]}", config)
        with pytest.raises(EngineUnavailableError, match="cannot be reached"):
            await draw(engine)
        assert not await engine.health()
        await engine.close()


async def test_closing_the_iterator_closes_the_connection(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.events, fake.hang = [token_event([11], 1, "x")], asyncio.Event()
    async with aclosing(engine.generate(REQUEST)) as chunks:
        await anext(chunks)
    await asyncio.wait_for(fake.left.wait(), 5)


@pytest.mark.parametrize("ids", [(7, VOCAB_SIZE), (-1, 7)])
async def test_an_id_outside_the_vocabulary_never_reaches_the_engine(
    engine: SGLangEngine, fake: FakeSGLang, ids: tuple[int, ...]
) -> None:
    with pytest.raises(TokenMismatchError, match="outside the vocabulary of 100"):
        await draw(engine, GenerateRequest(prompt_ids=ids, sampling=Sampling()))
    assert fake.asked == []


async def test_without_a_model_folder_nothing_is_drawn() -> None:
    engine = SGLangEngine("http://127.0.0.1:9", EngineConfig())
    with pytest.raises(SettingsError, match=r"engine\.model_path"):
        await draw(engine)
    await engine.close()


async def test_the_whole_request_reaches_the_engine(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.events = [token_event([11], 1, "x", STOP)]
    sampling = Sampling(
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        min_p=0.1,
        frequency_penalty=0.2,
        presence_penalty=0.3,
        repetition_penalty=1.1,
        max_tokens=9,
        seed=3,
        stop=("a", "b"),
    )
    await draw(
        engine,
        GenerateRequest(
            prompt_ids=(7,), sampling=sampling, adapter="p@1", regex="x+", logit_bias={5: -1.0}, num_top_logprobs=2
        ),
    )
    assert fake.asked == [
        (
            "/generate",
            {
                "input_ids": [7],
                "sampling_params": {
                    "temperature": 0.5,
                    "top_p": 0.9,
                    "top_k": 7,
                    "min_p": 0.1,
                    "frequency_penalty": 0.2,
                    "presence_penalty": 0.3,
                    "repetition_penalty": 1.1,
                    "max_new_tokens": 9,
                    "sampling_seed": 3,
                    "stop": ["a", "b"],
                    "regex": "x+",
                    "logit_bias": {"5": -1.0},
                },
                "return_logprob": True,
                "top_logprobs_num": 2,
                "stream": True,
                "lora_path": "p@1",
            },
        )
    ]


async def test_the_base_model_is_asked_without_an_adapter(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.events = [token_event([11], 1, "x", STOP)]
    await draw(engine)
    assert "lora_path" not in fake.asked[0][1]


async def test_rival_tokens_are_read_per_token(engine: SGLangEngine, fake: FakeSGLang) -> None:
    event = token_event([11, 12], 2, "x", STOP)
    event["meta_info"]["output_top_logprobs"] = [[[-0.1, 5, None], [-0.2, 6, None]], [[-0.3, 7, None]]]
    fake.events = [event]
    assert (await draw(engine))[0].top_logprobs == (((5, -0.1), (6, -0.2)), ((7, -0.3),))


async def test_adapters_are_managed_with_the_admin_key(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.replies = {"/load_lora_adapter": (200, {"success": True}), "/unload_lora_adapter": (200, {"success": True})}
    await engine.load_adapter("p@1", Path("/somewhere"))
    await engine.unload_adapter("p@1")
    assert fake.asked == [
        ("/load_lora_adapter", {"lora_name": "p@1", "lora_path": "/somewhere"}),
        ("/unload_lora_adapter", {"lora_name": "p@1"}),
    ]
    assert fake.keys == ["Bearer admin-key"] * 2


async def test_an_adapter_that_the_engine_refuses_is_a_sentence(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.replies["/load_lora_adapter"] = (400, {"success": False, "error_message": "rank 64 is too large"})
    with pytest.raises(EngineRefusedError, match="rank 64 is too large"):
        await engine.load_adapter("p@1", Path("/somewhere"))


async def test_a_slow_load_is_no_silence_between_tokens(fake: FakeSGLang, config: EngineConfig) -> None:
    fake.replies, fake.slow_s = {"/load_lora_adapter": (200, {"success": True})}, 0.5
    async with serve(fake) as url:
        engine = SGLangEngine(url, config.model_copy(update={"token_timeout_s": 0.1}))
        await engine.load_adapter("p@1", Path("/somewhere"))
        fake.replies["/v1/models"] = (200, {"data": []})
        with pytest.raises(EngineUnavailableError, match="did not answer in time"):
            await engine.loaded_adapters()
        await engine.close()


async def test_loaded_adapters_are_the_models_that_have_a_parent(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.replies["/v1/models"] = (
        200,
        {"data": [{"id": "base", "parent": None}, {"id": "p@1", "parent": "base"}, {"id": "p@2", "parent": "base"}]},
    )
    assert await engine.loaded_adapters() == {"p@1", "p@2"}
    assert fake.keys == ["Bearer data-key"]


async def test_an_instance_has_one_name_until_it_restarts(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.replies["/server_info"] = (200, {"startup_time": {"load_weight": 0.25}})
    first = await engine.instance()
    assert await engine.instance() == first
    fake.replies["/server_info"] = (200, {"startup_time": {"load_weight": 0.26}})
    assert await engine.instance() != first


async def test_health_is_what_the_engine_says(engine: SGLangEngine, fake: FakeSGLang) -> None:
    fake.replies["/health"] = (200, None)
    assert await engine.health()
    fake.replies["/health"] = (503, None)
    assert not await engine.health()


async def test_scores_are_the_last_log_probs_and_those_of_other_tokens_are_refused(
    engine: SGLangEngine, fake: FakeSGLang
) -> None:
    given = [[None, 9, None], [-0.5, 11, None], [-0.25, 12, None]]
    fake.replies["/generate"] = (200, {"text": "", "meta_info": {"input_token_logprobs": given}})
    assert await engine.score((7, 8, 9), (11, 12), "p@1") == (-0.5, -0.25)
    ((_, body),) = fake.asked
    assert (body["input_ids"], body["logprob_start_len"], body["lora_path"]) == ([7, 8, 9, 11, 12], 2, "p@1")
    with pytest.raises(TokenMismatchError):
        await engine.score((7, 8, 9), (11, 13), None)
    fake.replies["/generate"] = (200, {"text": ""})
    with pytest.raises(MalformedEventError, match="scores lack"):
        await engine.score((7, 8, 9), (11, 12), None)
