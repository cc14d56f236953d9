"""What holds for every protocol: one conversation whoever continues it, errors in its own form, a metric of its own."""

import json
from typing import Any

import orjson
import pytest

from tests.unit.serving.gateway_fakes import Bench
from tests.unit.serving.protocol_clients import (
    CLIENTS,
    ChatClient,
    Client,
    ItemReferringClient,
    MessagesClient,
    ResponsesClient,
    ask,
)
from tests.unit.serving.test_gateway import CALL

PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/messages"]
HI = {"role": "user", "content": "hi"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "assistant", "messages": [HI]},
    "/v1/responses": {"model": "assistant", "input": "hi"},
    "/v1/messages": {"model": "assistant", "max_tokens": 10, "messages": [HI]},
}
BROKEN_PICTURE = "data:image/png;base64,é"
PICTURES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"type": "image_url", "image_url": {"url": BROKEN_PICTURE}},
    "/v1/responses": {"type": "input_image", "image_url": BROKEN_PICTURE},
    "/v1/messages": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": BROKEN_PICTURE[-1]},
    },
}
DEEP = "[" * 600 + "1.5" + "]" * 600  # can be read as JSON, but not written


def called_with(path: str, arguments: str) -> dict[str, Any]:
    """A request whose history holds a call of a tool."""
    if path == "/v1/responses":
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments}
        items = [HI, call, {"type": "function_call_output", "call_id": "c", "output": "x"}]
        return BODIES[path] | {"input": items}
    if path == "/v1/messages":
        use = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": orjson.loads(arguments)}}
        result = {"type": "tool_result", "tool_use_id": "c", "content": "x"}
        said = [HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        return BODIES[path] | {"messages": said}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    said = [HI, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
    return BODIES[path] | {"messages": said}


async def test_a_conversation_goes_on_in_another_protocol() -> None:
    bench = Bench([["Let me see. " + CALL], ["20."], ["Bye."], ["Hm."]])
    chat = ChatClient()
    chat.user("weather?")
    await ask(bench, chat, stream=False)
    call_id = chat.history[-1]["tool_calls"][0]["id"]
    call = {"name": "weather", "arguments": '{"city":"Rome"}'}
    items = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": call_id, **call},
        {"type": "function_call_output", "call_id": call_id, "output": "20"},
    ]
    await bench.post({"model": "assistant", "input": items}, path="/v1/responses")
    use = {"type": "tool_use", "id": call_id, "name": "weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": call_id, "content": "20"}
    said = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, use]},
        {"role": "user", "content": [result]},
        {"role": "assistant", "content": "20."},
        {"role": "user", "content": "bye"},
    ]
    await bench.post({"model": "assistant", "max_tokens": 10, "messages": said}, path="/v1/messages")
    actions = bench.recorder.actions
    assert [action.parent_action_id for action in actions] == [None, actions[0].id, actions[1].id]
    assert [action.base_action_id for action in actions] == [None, actions[0].id, actions[1].id]


@pytest.mark.parametrize("kind", CLIENTS)
async def test_of_two_equal_conversations_the_ids_of_their_tool_calls_say_which(kind: type[Client]) -> None:
    bench = Bench([[CALL], [CALL], ["20."], ["21."]])
    clients = [kind(), kind()]
    for client in clients:
        client.user("weather?")
        await ask(bench, client, stream=False)
    for client in reversed(clients):
        client.results(["warm"])
        await ask(bench, client, stream=False)
    one, two, after_two, after_one = bench.recorder.actions
    assert (after_one.parent_action_id, after_two.parent_action_id) == (one.id, two.id)
    assert not any(action.ambiguous for action in bench.recorder.actions)


@pytest.mark.parametrize("kind", [ResponsesClient, ItemReferringClient])
async def test_calls_without_text_belong_to_the_text_before_them(kind: type[Client]) -> None:
    bench = Bench([["Let me see. " + CALL + "\n" + CALL], ["20."]])
    client = kind()
    client.user("weather?")
    await ask(bench, client, stream=False)
    client.results(["20", "21"])
    await ask(bench, client, stream=False)
    first, second = bench.recorder.actions
    assert [message.role for message in second.messages] == ["tool", "tool"]
    assert second.base_action_id == first.id


async def test_calls_that_come_as_messages_of_their_own_are_one_turn_in_chat_completions_too() -> None:
    bench = Bench([["Let me see. " + CALL + "\n" + CALL], ["20."]])
    client = ChatClient()
    client.user("weather?")
    await ask(bench, client, stream=False)
    reply = client.history.pop()
    first, second = reply["tool_calls"]
    client.history += [
        {"role": "assistant", "content": reply["content"]},
        {"role": "assistant", "tool_calls": [first]},
        {"role": "assistant", "content": None, "tool_calls": [second]},
        *({"role": "tool", "tool_call_id": call["id"], "content": "20"} for call in (first, second)),
    ]
    await ask(bench, client, stream=False)
    assert bench.recorder.actions[1].parent_action_id == bench.recorder.actions[0].id


async def test_the_id_of_a_call_says_which_of_equal_conversations_goes_on_without_its_punctuation_too() -> None:
    bench = Bench([[CALL], [CALL], ["20."]])
    clients = [ChatClient(), ChatClient()]
    for client in clients:
        client.user("weather?")
        await ask(bench, client, stream=False)
    for call in clients[1].history[-1]["tool_calls"]:
        call["id"] = call["id"].replace("_", "")  # as OpenClaw sends it back
    clients[1].results(["20"])
    await ask(bench, clients[1], stream=False)
    _, second, third = bench.recorder.actions
    assert (third.parent_action_id, third.ambiguous) == (second.id, False)


@pytest.mark.parametrize("path", PATHS)
async def test_what_the_server_itself_refuses_has_the_form_of_the_paths_protocol(path: str) -> None:
    bench = Bench(max_body_bytes=1000, api_keys={"key": "tenant"})
    key = {"authorization": "Bearer key"}
    async with bench.client() as client:
        refused = {
            404: await client.post(f"{path}/nothing/here", headers=key),
            405: await client.get(path, headers=key),
            413: await client.post(path, content=b" " * 1001, headers=key),
            400: await client.post(path, content=b"{", headers=key),
            401: await client.post(path, json=BODIES[path]),
        }
    for status, response in refused.items():
        assert response.status_code == status
        body = response.json()
        assert isinstance(body["error"]["message"], str)
        if path == MessagesClient.path:
            assert body["type"] == "error"
            assert body["request_id"] == response.headers["request-id"]
            assert set(body["error"]) == {"type", "message"}
        else:
            assert set(body) == {"error"}
            assert set(body["error"]) == {"message", "type", "param", "code"}
            assert response.headers["x-request-id"]
    expected = {401: "authentication_error"}
    if path == MessagesClient.path:
        expected |= {404: "not_found_error", 413: "request_too_large"}
    for status, response in refused.items():
        assert response.json()["error"]["type"] == expected.get(status, "invalid_request_error")


async def test_each_path_is_counted_and_paths_that_are_not_served_are_one() -> None:
    bench = Bench()
    async with bench.client() as client:
        for path in PATHS:
            await client.post(path, json=BODIES[path])
        await client.post("/v1/messages/count_tokens", json=BODIES["/v1/messages"])
        for name in "ab":
            await client.get(f"/v1/messages/{name}")
            await client.get(f"/v1/models/{name}")
        lines = (await client.get("/metrics")).text.splitlines()
    for path in (*PATHS, "/v1/messages/count_tokens"):
        assert f'nextstate_requests_total{{path="{path}",status="200"}} 1.0' in lines
    assert 'nextstate_requests_total{path="other",status="404"} 2.0' in lines
    assert 'nextstate_requests_total{path="/v1/models/{model}",status="404"} 2.0' in lines


@pytest.mark.parametrize("path", PATHS)
async def test_a_picture_whose_bytes_cannot_be_read_is_refused(path: str) -> None:
    said = [{"role": "user", "content": [PICTURES[path]]}]
    field = "input" if path == "/v1/responses" else "messages"
    response = await Bench().post(BODIES[path] | {field: said}, path=path)
    assert response.status_code == 400
    assert "base64 data that does not decode" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_arguments_that_are_a_text_may_be_nested_as_deeply_as_they_like(path: str) -> None:
    bench = Bench()
    response = await bench.post(called_with(path, DEEP), path=path)
    assert response.status_code == 200, response.text
    assert bench.recorder.actions[0].messages[1].tool_calls[0].arguments == DEEP


async def test_arguments_that_are_an_object_are_refused_where_they_are_nested_too_deeply_to_be_kept() -> None:
    async with Bench().client() as client:
        raw = json.dumps(called_with("/v1/messages", DEEP))
        response = await client.post("/v1/messages", content=raw)
    assert response.status_code == 400
    assert "cannot be written" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", PATHS)
async def test_session_headers_and_ids_in_the_answer_are_the_same_in_each(path: str) -> None:
    bench = Bench()
    first = await bench.post(BODIES[path], {"X-Session-Id": "s", "X-Turn-Type": "side"}, path=path)
    second = await bench.post(BODIES[path], {"X-Session-Id": "s", "X-Session-Done": "true"}, path=path)
    one, two = bench.recorder.actions
    assert first.headers["x-action-id"] == one.id
    assert first.headers["x-conversation-id"] == second.headers["x-conversation-id"] == one.conversation_id
    assert (one.turn_type, two.turn_type) == ("side", "main")
    assert bench.recorder.next_states[-1].ended_reason == "done"
    assert first.json()["id"].endswith(one.id)
    assert one.id == one.request_id
