"""Every way in which a request can fail: the status, OpenAI's error form, and what is recorded all the same."""

from typing import Any

import orjson
import pytest

from schemas.errors import EngineUnavailableError
from serving.errors import EngineRefusedError
from tests.unit.serving.gateway_fakes import CONTEXT_LENGTH, Bench, ScriptedEngine, assistant, chunks_of, user
from tests.unit.serving.test_gateway import loaded
from tests.unit.serving.test_gateway_grammar import nested

GOOD: dict[str, Any] = {"model": "assistant", "messages": [user("hi")]}
LONGEST_TEXT = CONTEXT_LENGTH - 7 - len("<user><assistant>")  # SGLang refuses prompts from context length - 6 on
DEEP_TOOLS = orjson.loads('[{"function": {"name": "f", "parameters": ' + '{"x":' * 300 + "1" + "}" * 300 + "}}]")
SPREADING = {"type": "function", "function": {"name": "f", "parameters": nested(6, 6)}}  # 12 MB of grammar
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"model": "gpt-4"}, 404, "model_not_found", "model"),
        ({"model": None}, 400, None, "model"),
        ({"messages": []}, 400, None, "messages"),
        ({"messages": "hi"}, 400, None, "messages"),
        ({"messages": ["hi"]}, 400, None, "messages.0"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, 400, None, "messages.0"),
        ({"messages": [user("hi"), {"role": "user", "content": 3}]}, 400, None, "messages.1"),
        ({"messages": [{"role": "user", "content": [PNG]}]}, 400, "unsupported_content", "messages.0"),
        ({"messages": [{"role": [], "content": "hi"}]}, 400, None, "messages.0"),
        ({"messages": [{"role": "user", "content": [{"type": []}]}]}, 400, None, "messages.0"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]}, 400, None, "messages.0"),
        ({"top_k": 2**31}, 400, None, "top_k"),  # would end SGLang's process
        ({"seed": 2**63}, 400, None, "seed"),
        ({"temperature": "hot"}, 400, None, "temperature"),
        ({"temperature": -1}, 400, None, "temperature"),
        ({"n": 0}, 400, None, "n"),
        ({"n": 99}, 400, None, "n"),
        ({"stream": "yes"}, 400, None, "stream"),
        ({"max_tokens": 0}, 400, None, "max_tokens"),
        ({"max_tokens": 5000}, 400, "context_length_exceeded", "messages"),
        ({"messages": [user("long " * 200)]}, 400, "context_length_exceeded", "messages"),
        ({"messages": [user("x" * (LONGEST_TEXT + 1))]}, 400, "context_length_exceeded", "messages"),
        ({"logit_bias": {"x": 1}}, 400, None, "logit_bias"),
        ({"logit_bias": {"9" * 5000: 1}}, 400, None, "logit_bias"),
        ({"tools": DEEP_TOOLS}, 400, None, None),
        ({"top_logprobs": 2}, 400, None, "top_logprobs"),
        ({"tools": [{"type": "function"}]}, 400, None, "tools"),
        ({"tool_choice": "required"}, 400, None, "tool_choice"),
        ({"tools": [SPREADING], "tool_choice": "required"}, 400, None, "tools"),
        ({"response_format": {"type": "json_schema"}}, 400, None, "response_format"),
    ],
)
async def test_a_bad_field_is_named_in_one_sentence(
    change: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    bench = Bench()
    response = await bench.post(GOOD | change)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    assert error["message"].count("\n") == 0
    assert error["message"].endswith(".")
    assert bench.engine.requests == []
    assert bench.recorder.actions == []


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"stop": ["a"] * 17}, "stop", "'stop' cannot be used: List should have at most 16 items, not 17."),
        ({"stop": 5}, "stop", "'stop' must be a string or a list."),
        ({"stop": ["a", 5]}, "stop.1", "'stop.1' must be a string."),
        ({"tool_choice": 5}, "tool_choice", "'tool_choice' must be a string or an object."),
        ({"stream_options": 5}, "stream_options", "'stream_options' must be an object."),
        ({"chat_template_kwargs": {"a": []}}, "chat_template_kwargs.a", "true or false or a whole number"),
        ({"temperature": "hot", "tool_choice": 5}, "temperature", "'temperature' must be a number."),
        ({"messages": [user("hi"), 3, 4]}, "messages.1", "'messages.1' must be an object."),
    ],
)
async def test_a_wrong_type_is_told_in_the_words_of_json(change: dict[str, Any], param: str, message: str) -> None:
    error = (await Bench().post(GOOD | change)).json()["error"]
    assert error["param"] == param
    assert message in error["message"]


async def test_a_field_that_is_missing_is_said_to_be() -> None:
    error = (await Bench().post({"messages": [user("hi")]})).json()["error"]
    assert (error["param"], error["message"]) == ("model", "'model' is missing.")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"hi"', b"\xff"])
async def test_a_body_that_is_not_a_json_object_is_a_400(body: bytes) -> None:
    async with Bench().client() as client:
        response = await client.post("/v1/chat/completions", content=body)
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "JSON" in response.json()["error"]["message"]
    assert "Body" not in response.json()["error"]["message"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic key"}])
async def test_a_wrong_key_is_a_401_on_every_endpoint_that_serves(headers: dict[str, str]) -> None:
    bench = Bench(api_keys={"key": "tenant"})
    async with bench.client() as client:
        for response in (
            await client.post("/v1/chat/completions", json=GOOD, headers=headers),
            await client.get("/v1/models", headers=headers),
        ):
            assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
        assert (await client.get("/health")).status_code == 200
    assert bench.engine.requests == []


async def test_a_body_over_the_limit_is_a_413_before_it_is_read_whole() -> None:
    bench = Bench(max_body_bytes=1000)
    parts_read = []

    async def endless() -> Any:
        while True:
            parts_read.append(1)
            yield b" " * 400

    async with bench.client() as client:
        declared = await client.post("/v1/chat/completions", content=b" " * 1001)
        chunked = await client.post("/v1/chat/completions", content=endless())
    assert (declared.status_code, chunked.status_code) == (413, 413)
    assert len(parts_read) <= 4
    assert chunked.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize("headers", [{"X-Turn-Type": "third"}, {"X-Session-Done": "maybe"}])
async def test_a_session_header_that_means_nothing_is_a_400(headers: dict[str, str]) -> None:
    response = await Bench().post(GOOD, headers)
    assert (response.status_code, response.json()["error"]["param"]) == (400, next(iter(headers)))


async def test_paths_and_methods_that_do_not_exist_have_openais_form_too() -> None:
    async with Bench().client() as client:
        missing, wrong = await client.get("/v1/nothing"), await client.get("/v1/chat/completions")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert missing.json()["error"]["type"] == "invalid_request_error"
    assert wrong.headers["allow"] == "POST"


async def test_what_the_engine_refuses_is_passed_on_with_its_status_and_words() -> None:
    bench = Bench([[EngineRefusedError(422, "The schema is not supported.")]])
    response = await bench.post(GOOD)
    assert (response.status_code, response.json()["error"]["message"]) == (422, "The schema is not supported.")
    assert bench.recorder.events == []


async def test_an_engine_that_refuses_the_gateways_own_key_is_not_the_clients_fault() -> None:
    bench = Bench([[EngineRefusedError(401, "Unauthorized.")]])
    assert (await bench.post(GOOD)).status_code == 502


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_stays_away_is_a_503_that_says_when_to_try_again(stream: bool) -> None:
    bench = Bench([[EngineUnavailableError("The engine does not answer.")]] * 10)
    response = await bench.post(GOOD | {"stream": stream})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["error"]["code"] == "engine_unavailable"
    assert bench.recorder.events == []
    assert len(bench.engine.requests) >= 2


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_comes_back_before_the_first_token_is_not_noticed(stream: bool) -> None:
    bench = Bench([[EngineUnavailableError("The engine does not answer.")], ["Hello."]])
    response = await bench.post(GOOD | {"stream": stream})
    assert response.status_code == 200
    assert bench.recorder.actions[0].reply.content == "Hello."


async def test_a_whole_answer_starts_over_where_the_engine_dies_in_its_middle() -> None:
    bench = Bench([["Hel", EngineUnavailableError("The engine died.")], ["Bye."]])
    reply = await bench.chat(user("hi"), logprobs=True)
    assert reply["choices"][0]["message"]["content"] == "Bye."
    assert len(reply["choices"][0]["logprobs"]["content"]) == 4
    [action] = bench.recorder.actions
    assert action.response_ids == tuple(map(ord, "Bye."))


async def test_a_stream_whose_engine_dies_ends_in_an_error_event_and_an_action_that_says_error() -> None:
    bench = Bench([["Hel", EngineUnavailableError("The engine died.")]])
    response = await bench.post(GOOD | {"stream": True})
    chunks = chunks_of(response.text)
    assert chunks[1]["choices"][0]["delta"]["content"] == "Hel"
    assert chunks[-1]["error"]["message"] == "The engine died."
    assert "[DONE]" not in response.text
    [action] = bench.recorder.actions
    assert (action.finish_reason, action.reply.content) == ("error", "Hel")


async def test_an_adapter_that_a_restarted_engine_has_not_loaded_yet_is_waited_for() -> None:
    bench = Bench([[EngineRefusedError(400, "Unknown adapter.")], ["Hello."]])
    bench.routes.apply(loaded(1))
    await bench.chat(user("hi"))
    assert bench.recorder.actions[0].adapter == "assistant@1"


async def test_an_adapter_that_was_loaded_right_after_the_refusal_is_asked_for_again() -> None:
    refusal = "The following requested LoRA adapters are not loaded: assistant@1\nLoaded adapters: set()."
    bench = Bench([[EngineRefusedError(400, refusal)], ["Hello."]])
    bench.routes.apply(loaded(1))
    bench.engine.adapters.add("assistant@1")  # by the time that anybody looks
    response = await bench.post(GOOD)
    assert (response.status_code, len(bench.engine.requests)) == (200, 2)


async def test_an_adapter_that_never_comes_is_a_503() -> None:
    bench = Bench([[EngineRefusedError(400, "Unknown adapter.")]] * 10)
    bench.routes.apply(loaded(1))
    response = await bench.post(GOOD)
    assert response.status_code == 503
    assert "assistant@1" in response.json()["error"]["message"]


async def test_a_refusal_that_is_not_about_the_adapter_is_not_repeated() -> None:
    bench = Bench([[EngineRefusedError(400, "The regex is wrong.")]])
    bench.routes.apply(loaded(1))
    bench.engine.adapters.add("assistant@1")
    response = await bench.post(GOOD)
    assert (response.status_code, len(bench.engine.requests)) == (400, 1)


async def test_an_engine_whose_log_probs_do_not_fit_its_tokens_is_a_502_and_nothing_is_recorded() -> None:
    class Misaligned(ScriptedEngine):
        def _chunk(self, *arguments: Any, **keywords: Any) -> Any:
            chunk = super()._chunk(*arguments, **keywords)
            return type(chunk)(
                text_delta=chunk.text_delta,
                ids=chunk.ids,
                logprobs=chunk.logprobs[1:],
                finish_reason=chunk.finish_reason,
            )

    bench = Bench()
    bench.engine.__class__ = Misaligned
    response = await bench.post(GOOD)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "engine_mismatch")
    assert bench.recorder.events == []


async def test_when_nothing_can_be_recorded_the_default_is_to_refuse() -> None:
    bench = Bench()
    bench.recorder.place = "nowhere"
    first, second = await bench.post(GOOD), await bench.post(GOOD)
    for response in (first, second):
        assert (response.status_code, response.json()["error"]["code"]) == (503, "not_recordable")
    assert len(bench.engine.requests) == 1  # the second was refused before it cost anything


async def test_when_nothing_can_be_recorded_a_stream_ends_in_an_error_instead_of_a_finish() -> None:
    bench = Bench()
    bench.recorder.place = "nowhere"
    response = await bench.post(GOOD | {"stream": True})
    chunks = chunks_of(response.text)
    assert chunks[-1]["error"]["code"] == "not_recordable"
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])


async def test_when_nothing_can_be_recorded_serving_on_is_a_setting_and_says_so() -> None:
    bench = Bench(when_unrecordable="serve")
    bench.recorder.place = "nowhere"
    whole, stream = await bench.post(GOOD), await bench.post(GOOD | {"stream": True})
    for response in (whole, stream):
        assert (response.status_code, response.headers["x-recorded"]) == (200, "false")
    assert stream.text.endswith("data: [DONE]\n\n")
    async with bench.client() as client:
        assert 'nextstate_events_total{place="nowhere",topic="actions"} 2.0' in (await client.get("/metrics")).text


@pytest.mark.parametrize(("setting", "status"), [("serve", 200), ("refuse", 503)])
async def test_a_gateway_that_serves_unrecorded_is_ready_and_says_what_is_wrong(setting: str, status: int) -> None:
    bench = Bench(when_unrecordable=setting)
    bench.recorder.place = "nowhere"
    await bench.post(GOOD)
    async with bench.client() as client:
        health = await client.get("/health")
    assert (health.status_code, health.json()["recording"]) == (status, "nowhere")
    assert health.json()["trouble"] == "The spool is full."


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", GOOD),
        ("/v1/messages", GOOD | {"max_tokens": 20}),
        ("/v1/responses", {"model": "assistant", "input": "hi"}),
    ],
)
async def test_a_stream_that_had_begun_says_at_its_end_that_it_is_not_recorded(path: str, body: dict[str, Any]) -> None:
    bench = Bench(when_unrecordable="serve")
    recorded = await bench.post(body | {"stream": True}, path=path)
    assert "x_recorded" not in recorded.text
    bench.recorder.place = "nowhere"
    lost = await bench.post(body | {"stream": True}, path=path)
    assert "x-recorded" not in lost.headers, "it was not known yet"
    assert [chunk["x_recorded"] for chunk in chunks_of(lost.text) if "x_recorded" in chunk] == [False]


async def test_what_was_not_recorded_is_never_matched() -> None:
    bench = Bench([["Hello."], ["Bye."]], when_unrecordable="serve")
    bench.recorder.place = "nowhere"
    await bench.post(GOOD)
    bench.recorder.place = "kafka"
    await bench.chat(user("hi"), assistant("Hello."), user("bye"))
    assert bench.recorder.next_states == []
    assert bench.recorder.actions[0].parent_action_id is None


async def test_a_defect_of_ours_is_a_500_without_details() -> None:
    bench = Bench([[ZeroDivisionError("secret detail")]])
    response = await bench.post(GOOD)
    assert response.status_code == 500
    assert "secret" not in response.text


async def test_the_longest_prompt_that_the_engine_takes_is_served() -> None:
    bench = Bench()
    await bench.chat(user("x" * LONGEST_TEXT))
    assert bench.engine.requests[0].sampling.max_tokens == 7


async def test_a_defect_in_the_middle_of_a_stream_leaves_what_was_drawn_in_the_log() -> None:
    bench = Bench([["Hel", ZeroDivisionError("secret detail")]])
    response = await bench.post(GOOD | {"stream": True})
    assert "secret" not in response.text
    [action] = bench.recorder.actions
    assert (action.finish_reason, action.reply.content) == ("error", "Hel")


async def test_an_answer_with_a_picture_is_refused_and_still_the_next_state() -> None:
    bench = Bench()
    await bench.chat(user("hi"))
    answer = {"role": "user", "content": [{"type": "text", "text": "No, like this."}, PNG]}
    response = await bench.post(GOOD | {"messages": [user("hi"), assistant("Hello."), answer]})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "unsupported_content", "messages.2")
    [state] = bench.recorder.next_states
    assert (state.action_id, state.messages[0].content) == (bench.recorder.actions[0].id, "No, like this.")
    assert state.messages[0].media[0].kind == "image_url"


async def test_health_and_clients_hear_why_nothing_can_be_recorded() -> None:
    bench = Bench()
    bench.recorder.place = "nowhere"
    for response in (await bench.post(GOOD), await bench.post(GOOD)):
        assert response.json()["error"]["message"] == "The spool is full."
    async with bench.client() as client:
        assert (await client.get("/health")).json()["trouble"] == "The spool is full."
        bench.recorder.place = "kafka"
        await bench.post(GOOD)
        assert (await client.get("/health")).json()["trouble"] is None


async def test_a_content_length_that_is_no_number_of_ours_is_too_long() -> None:
    async with Bench().client() as client:
        response = await client.post("/v1/chat/completions", content=b"{}", headers={"content-length": "9" * 5000})
    assert response.status_code == 413


async def test_a_long_model_name_is_not_sent_back_whole() -> None:
    response = await Bench().post(GOOD | {"model": "x" * 100_000})
    assert response.status_code == 404
    assert len(response.json()["error"]["message"]) <= 1000


async def test_a_query_that_is_no_utf8_does_not_stand_before_the_answer() -> None:
    """Uvicorn refuses it by itself; another ASGI server may not."""
    bench = Bench()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"\xe9", "headers": []}
    await bench.app(scope, receive, send)
    assert [message.get("status") for message in sent] == [400, None]
    assert orjson.loads(sent[1]["body"])["error"]["code"] == "malformed_json"
