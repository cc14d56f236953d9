"""OpenAI's Responses: as the real SDK sees it, and each event by the SDK's own types."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from schemas.errors import EngineUnavailableError
from tests.unit.serving.gateway_fakes import Bench, chunks_of
from tests.unit.serving.test_gateway import CALL

PATH = "/v1/responses"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
OSLO = CALL.replace("Rome", "Oslo")
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ITEM = ["response.output_item.added", "response.output_item.done"]
TEXT = ["response.content_part.added", "response.output_text.delta", "response.output_text.done"]
ARGUMENTS = ["response.function_call_arguments.delta", "response.function_call_arguments.done"]


@pytest.fixture
async def bench() -> Bench:
    return Bench([["Let me ", "see. " + CALL + "\n" + OSLO], ["Rome 20, ", "Oslo 9."], ["Bye."]])


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[AsyncOpenAI]:
    async with (
        bench.listening() as url,
        AsyncOpenAI(api_key="any", base_url=f"{url}/v1", max_retries=0, timeout=10) as sdk,
    ):
        yield sdk


def results(response: Response) -> list[Any]:
    """What parallel tools gave."""
    calls = [item for item in response.output if item.type == "function_call"]
    assert [call.arguments for call in calls] == ['{"city":"Rome"}', '{"city":"Oslo"}']
    return [
        {"type": "function_call_output", "call_id": call.call_id, "output": degrees}
        for call, degrees in zip(calls, ("20", "9"), strict=True)
    ]


def matched_as_one_conversation(bench: Bench) -> None:
    actions, states = bench.recorder.actions, bench.recorder.next_states
    assert [action.parent_action_id for action in actions] == [None, *(action.id for action in actions[:-1])]
    assert [action.turn for action in actions] == [0, 1, 2]
    assert not any(action.ambiguous for action in actions)
    assert [[message.role for message in state.messages] for state in states] == [["tool", "tool"], ["user"]]
    assert [message.content for message in states[0].messages] == ["20", "9"]
    assert [state.source for state in states] == ["tool", "chat"]
    assert [call.name for call in actions[0].reply.tool_calls] == ["weather", "weather"]


async def test_a_conversation_with_parallel_tools_that_sends_its_items_back(bench: Bench, client: AsyncOpenAI) -> None:
    said: list[Any] = [{"role": "user", "content": "weather?"}]
    first = await client.responses.create(model="assistant", input=said, tools=[WEATHER], instructions="Be brief.")
    assert first.output_text == "Let me see."
    said += [*first.output, *results(first)]
    second = await client.responses.create(model="assistant", input=said, tools=[WEATHER], instructions="Be short.")
    assert second.output_text == "Rome 20, Oslo 9."
    said += [*second.output, {"role": "user", "content": "bye"}]
    await client.responses.create(model="assistant", input=said)
    matched_as_one_conversation(bench)


async def test_a_streamed_conversation_that_names_the_response_before(bench: Bench, client: AsyncOpenAI) -> None:
    async def ask(said: Any, previous: Response | None) -> Response:
        fields: dict[str, Any] = {"previous_response_id": previous.id} if previous else {}
        async with client.responses.stream(model="assistant", input=said, tools=[WEATHER], **fields) as stream:
            async for _ in stream:
                pass
            return await stream.get_final_response()

    first = await ask("weather?", None)
    second = await ask(results(first), first)
    assert second.output_text == "Rome 20, Oslo 9."
    await ask("bye", second)
    matched_as_one_conversation(bench)
    assert bench.engine.requests[2].prompt_ids[-len("<user>bye<assistant>") :] == tuple(
        map(ord, "<user>bye<assistant>")
    )


async def test_the_instructions_of_an_earlier_response_are_not_carried_on_and_its_other_messages_are() -> None:
    bench = Bench([["one"], ["two"]])
    said = [{"role": "developer", "content": "[d]"}, {"role": "user", "content": "hi"}]
    first = await bench.post({"model": "assistant", "input": said, "instructions": "[i]"}, path=PATH)
    fields = {"instructions": "[new]", "previous_response_id": first.json()["id"]}
    await bench.post({"model": "assistant", "input": "and?", **fields}, path=PATH)
    prompts = ["".join(map(chr, request.prompt_ids)) for request in bench.engine.requests]
    assert prompts[0] == "<system>[i]<developer>[d]<user>hi<assistant>"
    assert prompts[1] == "<system>[new]<developer>[d]<user>hi<assistant>one<user>and?<assistant>"


async def test_of_two_equal_conversations_the_response_id_says_which() -> None:
    bench = Bench()
    first, second = [(await bench.post({"model": "assistant", "input": "hi"}, path=PATH)).json() for _ in range(2)]
    for reply in (second, first):
        body = {"model": "assistant", "input": "thanks", "previous_response_id": reply["id"]}
        await bench.post(body, path=PATH)
    one, two, after_two, after_one = bench.recorder.actions
    assert (after_two.parent_action_id, after_one.parent_action_id) == (two.id, one.id)
    assert not any(action.ambiguous for action in bench.recorder.actions)


async def test_the_events_of_a_stream_in_their_order_and_by_the_sdks_types(bench: Bench) -> None:
    include = ["message.output_text.logprobs"]
    body = {"model": "assistant", "input": "weather?", "tools": [WEATHER], "stream": True, "include": include}
    events = chunks_of((await bench.post(body, path=PATH)).text)
    for number, event in enumerate(events):
        assert EVENTS.validate_python(event).type == event["type"]
        assert event["sequence_number"] == number
    call = [ITEM[0], *ARGUMENTS, ITEM[1]]
    kinds = [event["type"] for event in events]
    deltas = kinds.count(TEXT[1])
    text = [ITEM[0], TEXT[0], *[TEXT[1]] * deltas, TEXT[2], "response.content_part.done", ITEM[1]]
    assert kinds == ["response.created", "response.in_progress", *text, *call, *call, "response.completed"]
    assert "".join(event["delta"] for event in events if event["type"] == TEXT[1]) == "Let me see."
    assert [event["output_index"] for event in events if event["type"] == ITEM[1]] == [0, 1, 2]
    assert events[-1]["response"]["usage"]["output_tokens"] == len("Let me see. " + CALL + "\n" + OSLO)


@pytest.mark.parametrize(
    ("script", "kinds"),
    [
        ([CALL], ["function_call"]),
        ([*CALL, "\n", *OSLO], ["function_call", "function_call"]),
        ([" ", "Fine.", " ", *CALL], ["message", "function_call"]),
        (["<", "tool", "s are fine"], ["message"]),
    ],
)
async def test_log_probs_open_no_item_that_the_response_has_not(script: list[str], kinds: list[str]) -> None:
    body = {"model": "assistant", "input": "weather?", "tools": [WEATHER], "stream": True}
    response = await Bench([script]).post(body | {"include": ["message.output_text.logprobs"]}, path=PATH)
    events = chunks_of(response.text)
    items = events[-1]["response"]["output"]
    assert [item["type"] for item in items] == kinds
    added, done = ([event for event in events if event["type"] == kind] for kind in ITEM)
    assert [event["output_index"] for event in added] == [event["output_index"] for event in done]
    assert [event["item"]["id"] for event in added] == [item["id"] for item in items]
    if kinds[0] == "message":
        deltas = [event["logprobs"] for event in events if event["type"] == TEXT[1]]
        assert [token for some in deltas for token in some] == items[0]["content"][0]["logprobs"]


async def test_a_whole_response_and_a_streamed_one_are_the_same_by_the_sdks_type() -> None:
    fields = {"temperature": 0.5, "max_output_tokens": 50, "metadata": {"a": "b"}, "user": "ann", "store": False}
    body = {"model": "assistant", "input": "hi", "tools": [WEATHER], "tool_choice": "auto", **fields}
    bench = Bench()
    whole = (await bench.post(body, path=PATH)).json()
    streamed = chunks_of((await bench.post(body | {"stream": True}, path=PATH)).text)[-1]["response"]
    response = Response.model_validate(whole)
    for reply in (whole, streamed):
        for changing in ("id", "created_at"):
            del reply[changing]
        del reply["output"][0]["id"]
    assert whole == streamed
    assert (response.status, response.temperature, response.metadata) == ("completed", 0.5, {"a": "b"})
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + len("Hello.")
    assert {action.subject for action in bench.recorder.actions} == {"ann"}


async def test_a_reply_that_was_cut_is_incomplete(bench: Bench) -> None:
    bench.engine.finish_reason = "length"
    reply = Response.model_validate((await bench.post({"model": "assistant", "input": "hi"}, path=PATH)).json())
    assert reply.status == "incomplete"
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    events = chunks_of((await bench.post({"model": "assistant", "input": "hi", "stream": True}, path=PATH)).text)
    assert events[-1]["type"] == "response.incomplete"


async def test_an_empty_reply_is_still_an_item_that_can_be_sent_back() -> None:
    bench = Bench([[""], ["Bye."]])
    first = (await bench.post({"model": "assistant", "input": "hi"}, path=PATH)).json()
    assert [part["text"] for part in first["output"][0]["content"]] == [""]
    said = [{"role": "user", "content": "hi"}, *first["output"], {"role": "user", "content": "well?"}]
    await bench.post({"model": "assistant", "input": said}, path=PATH)
    one, two = bench.recorder.actions
    assert two.parent_action_id == one.id


async def test_structured_output(bench: Bench, client: AsyncOpenAI) -> None:
    class City(BaseModel):
        name: str

    bench.engine.script = [['{"name": "Rome"}']]
    reply = await client.responses.parse(model="assistant", input="which city?", text_format=City)
    assert reply.output_parsed == City(name="Rome")
    assert bench.engine.requests[0].json_schema is not None


async def test_a_forced_call_is_a_grammar(bench: Bench, client: AsyncOpenAI) -> None:
    choice: Any = {"type": "function", "name": "weather"}
    await client.responses.create(model="assistant", input="hi", tools=[WEATHER], tool_choice=choice)
    assert "weather" in (bench.engine.requests[0].regex or "")


async def test_reasoning_items_are_left_out(bench: Bench) -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    await bench.post({"model": "assistant", "input": [reasoning, {"role": "user", "content": "hi"}]}, path=PATH)
    assert [message.role for message in bench.recorder.actions[0].messages] == ["user"]


async def test_a_stream_that_breaks_off_says_that_the_response_failed() -> None:
    bench = Bench([["Hel", EngineUnavailableError("The engine died.")]])
    response = await bench.post({"model": "assistant", "input": "hi", "stream": True}, path=PATH)
    last = EVENTS.validate_python(chunks_of(response.text)[-1])
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert last.response.error.message == "The engine died."


async def test_errors_are_the_sdks_own_classes(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as lost:  # as OpenAI's API does it
        await client.responses.create(model="assistant", input="hi", previous_response_id="resp_123")
    assert (lost.value.code, lost.value.param) == ("previous_response_not_found", "previous_response_id")
    with pytest.raises(openai.NotFoundError) as missing:
        await client.responses.create(model="nobody", input="hi")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        await client.responses.create(model="assistant", input="long " * 200)
    assert (long.value.code, long.value.param) == ("context_length_exceeded", "input")


async def test_a_response_is_told_again(bench: Bench, client: AsyncOpenAI) -> None:
    first = await client.responses.create(
        model="assistant", input="weather?", tools=[WEATHER], instructions="Be brief."
    )
    again = await client.responses.retrieve(first.id)
    assert Response.model_validate(again.model_dump()).output == first.output
    assert (again.id, again.status, again.model) == (first.id, "completed", "assistant")
    assert (again.usage, again.instructions, again.error) == (first.usage, "Be brief.", None)
    assert abs(again.created_at - first.created_at) <= 1


async def test_a_response_that_was_cut_is_told_again_as_it_was(bench: Bench, client: AsyncOpenAI) -> None:
    bench.engine.finish_reason = "length"
    first = await client.responses.create(model="assistant", input="hi")
    again = await client.responses.retrieve(first.id)
    assert (again.status, again.output, again.incomplete_details) == (
        "incomplete",
        first.output,
        first.incomplete_details,
    )


async def test_a_response_that_a_client_left_is_told_as_cancelled() -> None:
    bench = Bench([["Hel", asyncio.Event()]])
    asking = asyncio.create_task(bench.post({"model": "assistant", "input": "hi", "stream": True}, path=PATH))
    while not bench.engine.requests:
        await asyncio.sleep(0.01)
    asking.cancel()
    while not bench.index.get(bench.recorder.actions[0].id if bench.recorder.actions else ""):
        await asyncio.sleep(0.01)
    async with bench.client() as client:
        again = (await client.get(f"{PATH}/resp_{bench.recorder.actions[0].id}")).json()
    assert (again["status"], again["output"][0]["status"]) == ("cancelled", "incomplete")
    assert Response.model_validate(again).output_text == "Hel"


async def test_a_response_is_told_to_its_own_tenant_only_and_whole() -> None:
    bench = Bench(api_keys={"a": "anna", "b": "bob"}, admin_key="admin")
    first = await bench.post({"model": "assistant", "input": "hi"}, {"authorization": "Bearer a"}, path=PATH)
    path = f"{PATH}/{first.json()['id']}"
    async with bench.client() as client:
        seen = {key: await client.get(path, headers={"authorization": f"Bearer {key}"}) for key in "abc"}
        own = {"authorization": "Bearer a"}
        stream = await client.get(f"{path}?stream=true", headers=own)
        item = await client.get(f"{PATH}/{first.json()['output'][0]['id']}", headers=own)
        lines = (await client.get("/metrics", headers={"authorization": "Bearer admin"})).text
    assert [answer.status_code for answer in seen.values()] == [200, 404, 401]
    assert (stream.status_code, stream.json()["error"]["param"]) == (400, "stream")
    assert item.status_code == 404
    assert 'path="/v1/responses/{response}",status="200"' in lines


PNG = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"input": None}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": 3}, 400, "input"),
        ({"input": [3]}, 400, "input.0"),
        ({"input": [{"type": "computer_call"}]}, 400, "input.0"),
        ({"input": [{"type": "function_call", "name": 3}]}, 400, "input.0"),
        ({"input": [{"role": "wizard", "content": "hi"}]}, 400, "input.0"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, 404, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}]}, 400, "input.0"),
        ({"max_output_tokens": 0}, 400, "max_output_tokens"),
        ({"max_output_tokens": 5000}, 400, "input"),
        ({"temperature": 3}, 400, "temperature"),
        ({"background": True}, 400, "background"),
        ({"conversation": "conv_1"}, 400, "conversation"),
        ({"tools": [{"type": "web_search"}]}, 400, "tools"),
        ({"tool_choice": "required"}, 400, "tool_choice"),
        ({"text": {"format": {"type": "grammar"}}}, 400, "text.format"),
    ],
)
async def test_a_bad_field_is_named_in_one_sentence(change: dict[str, Any], status: int, param: str) -> None:
    bench = Bench()
    response = await bench.post({"model": "assistant", "input": "hi"} | change, path=PATH)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert error["message"].endswith(".")
    assert bench.recorder.actions == []


async def test_unknown_fields_and_fields_without_effect_pass() -> None:
    fields = {"store": True, "prompt_cache_key": "k", "safety_identifier": "ann", "truncation": "auto", "shoe_size": 43}
    bench = Bench()
    response = await bench.post(
        {"model": "assistant", "input": "hi", "parallel_tool_calls": False, **fields}, path=PATH
    )
    assert response.status_code == 200
    assert bench.recorder.actions[0].subject == "ann"


async def test_another_tenants_response_is_not_found() -> None:
    bench = Bench(api_keys={"a": "anna", "b": "bob"})
    first = await bench.post({"model": "assistant", "input": "hi"}, {"authorization": "Bearer a"}, path=PATH)
    body = {"model": "assistant", "input": "and?", "previous_response_id": first.json()["id"]}
    answers = [await bench.post(body, {"authorization": f"Bearer {key}"}, path=PATH) for key in "ba"]
    assert [answer.status_code for answer in answers] == [400, 200]
