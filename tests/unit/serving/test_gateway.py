"""What a chat request leaves in the log, and what the client gets for it."""

import asyncio
from typing import Any

import pytest

from schemas.events import PolicyLoaded, VersionSpan
from schemas.messages import normalise_message
from schemas.prompt import resolve
from tests.unit.serving.gateway_fakes import END, Bench, assistant, user

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


async def test_a_chat_is_answered_and_recorded_as_the_engine_reported_it() -> None:
    bench = Bench([["Hel", "lo."]])
    reply = await bench.chat(user("hi"), temperature=0.7, max_tokens=50, user="ann")
    assert reply["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello.", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ]
    [action] = bench.recorder.actions
    assert bench.recorder.events == [action]
    assert (action.turn, action.turn_type, action.parent_action_id) == (0, "main", None)
    assert action.prompt_ids == tuple(map(ord, "<user>hi<assistant>"))
    assert action.response_ids == tuple(map(ord, "Hello."))
    assert action.response_logprobs == (0.0, -1.0, -2.0, -3.0, -4.0, -5.0)
    assert action.token_versions == (VersionSpan(version=0, start=0, end=6),)
    assert (action.sampling.temperature, action.sampling.top_p, action.sampling.max_tokens) == (0.7, 1.0, 50)
    assert (action.subject, action.tenant, action.policy, action.model) == ("ann", "default", "assistant", "base")
    assert (action.finish_reason, action.logprob_origin, action.template_digest) == ("stop", "engine", "characters")
    assert reply["usage"]["prompt_tokens"] == len(action.prompt_ids)
    assert reply["usage"]["completion_tokens"] == len(action.response_ids)


async def test_the_next_request_records_the_next_state_before_its_own_action() -> None:
    bench = Bench([["Hello."], ["Bye."]])
    await bench.chat(user("hi"))
    await bench.chat(user("hi"), assistant("Hello."), user("bye"))
    first, second = bench.recorder.actions
    [state] = bench.recorder.next_states
    assert bench.recorder.events == [first, state, second]
    assert (state.action_id, state.kind, state.source) == (first.id, "messages", "chat")
    assert state.messages == (normalise_message(user("bye")),)
    assert (second.parent_action_id, second.turn) == (first.id, 1)
    assert second.conversation_id == first.conversation_id == state.conversation_id
    assert state.request_id == second.request_id != first.request_id


async def test_a_follow_up_is_stored_as_what_is_new_and_resolves_to_what_was_read() -> None:
    bench = Bench([["Hello."], ["Bye."]])
    await bench.chat(user("hi"))
    await bench.chat(user("hi"), assistant("Hello."), user("bye"))
    first, second = bench.recorder.actions
    assert second.base_action_id == first.id
    assert second.prompt_ids == tuple(map(ord, "<user>bye<assistant>"))
    assert resolve(second, resolve(first, None)).prompt_ids == bench.engine.requests[1].prompt_ids


async def test_a_system_prompt_that_changes_in_each_call_leaves_the_conversation_stored() -> None:
    answers = [f"This is answer number {turn}, and no other." for turn in range(4)]
    bench = Bench([[answer] for answer in answers])
    said: list[dict[str, Any]] = []
    for turn, answer in enumerate(answers):
        await bench.chat({"role": "system", "content": f"It is {turn}:00 now."}, *said, user(f"Why {turn}?"))
        said += [user(f"Why {turn}?"), assistant(answer)]
    whole = None
    for turn, action in enumerate(bench.recorder.actions):
        whole = resolve(action, whole)
        assert whole.prompt_ids == bench.engine.requests[turn].prompt_ids
        assert [message.content for message in whole.messages if message.role != "system"] == [
            message["content"] for message in said[: 2 * turn + 1]
        ]
        assert [message.content for message in action.messages] == [f"It is {turn}:00 now.", f"Why {turn}?"]
        assert turn == 0 or "".join(map(chr, action.prompt_ids)) == f"{turn}<user>Why {turn}?<assistant>"


async def test_what_the_client_leaves_open_comes_from_the_configuration_and_the_context() -> None:
    bench = Bench(default_temperature=0.9)
    await bench.chat(user("hi"))
    [request] = bench.engine.requests
    assert request.sampling.temperature == 0.9
    assert request.sampling.max_tokens == 500 - len(request.prompt_ids)
    assert bench.recorder.actions[0].sampling == request.sampling


@pytest.mark.parametrize(("default", "used"), [(20, 20), (5000, 500 - len("<user>hi<assistant>"))])
async def test_a_default_reply_length_is_cut_to_what_the_context_leaves(default: int, used: int) -> None:
    bench = Bench(default_max_tokens=default)
    await bench.chat(user("hi"))
    assert bench.engine.requests[0].sampling.max_tokens == used


async def test_fields_that_nobody_knows_have_no_effect() -> None:
    bench = Bench()
    reply = await bench.chat(user("hi"), store=True, metadata={"a": 1}, parallel_tool_calls=True, traceparent="x")
    assert reply["choices"][0]["message"]["content"] == "Hello."


async def test_n_choices_are_sibling_actions_with_their_own_seeds() -> None:
    bench = Bench([["one"], ["two"], ["three"]])
    reply = await bench.chat(user("hi"), n=3, seed=7)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    actions = {action.sibling: action for action in bench.recorder.actions}
    assert {request.sampling.seed for request in bench.engine.requests} == {7, 8, 9}
    for choice in reply["choices"]:
        action = actions[choice["index"]]
        assert action.reply.content == choice["message"]["content"]
        assert action.sampling.seed == 7 + choice["index"]
    assert len({action.id for action in actions.values()}) == 3
    assert len({action.request_id for action in actions.values()}) == 1
    assert reply["usage"]["completion_tokens"] == len("onetwothree")


async def test_a_tool_call_is_parsed_and_its_results_are_the_next_state() -> None:
    bench = Bench([["Let me see. " + CALL], ["Sunny."]])
    reply = await bench.chat(user("weather in Rome?"), tools=[WEATHER])
    choice = reply["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "Let me see.")
    [call] = choice["message"]["tool_calls"]
    assert call["id"].startswith("call_")
    assert call["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    await bench.chat(
        user("weather in Rome?"),
        choice["message"],
        {"role": "tool", "content": "sunny", "tool_call_id": call["id"]},
        tools=[WEATHER],
    )
    first, second = bench.recorder.actions
    [state] = bench.recorder.next_states
    assert (first.finish_reason, first.source, second.source) == ("tool_calls", "tool", "chat")
    assert (state.action_id, state.source, state.messages[0].content) == (first.id, "tool", "sunny")
    assert first.reply.tool_calls[0].id == call["id"]


async def test_tools_are_shown_in_the_prompt_unless_tool_choice_is_none() -> None:
    bench = Bench([["a"], [CALL]])
    await bench.chat(user("hi"), tools=[WEATHER])
    reply = await bench.chat(user("hi"), tools=[WEATHER], tool_choice="none")
    shown, hidden = (bench.engine.requests[i].prompt_ids for i in (0, 1))
    assert len(shown) > len(hidden) == len("<user>hi<assistant>")
    assert reply["choices"][0]["message"]["content"] == CALL
    assert bench.recorder.actions[0].tools != "[]" == bench.recorder.actions[1].tools


async def test_a_forced_tool_call_is_a_grammar_and_recorded_as_such() -> None:
    bench = Bench([[CALL], [CALL]])
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", named):
        reply = await bench.chat(user("hi"), tools=[WEATHER], tool_choice=choice)
        assert reply["choices"][0]["finish_reason"] == "tool_calls"
    assert all(request.regex is not None for request in bench.engine.requests)
    assert all(action.sampling.grammar for action in bench.recorder.actions)


async def test_a_response_format_reaches_the_engine_as_a_json_schema() -> None:
    bench = Bench([["{}"]])
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    await bench.chat(user("hi"), response_format=response_format)
    assert bench.engine.requests[0].json_schema == '{"type":"object"}'
    assert bench.recorder.actions[0].sampling.grammar


async def test_logprobs_are_those_of_the_drawn_tokens() -> None:
    bench = Bench([["ab", "c"]])
    reply = await bench.chat(user("hi"), logprobs=True)
    content = reply["choices"][0]["logprobs"]["content"]
    assert [(token["token"], token["logprob"]) for token in content] == [("a", 0.0), ("b", -1.0), ("c", -2.0)]


async def test_the_token_that_ends_a_reply_is_none_of_its_log_probs() -> None:
    bench = Bench([["é", chr(END)]])
    reply = await bench.chat(user("hi"), logprobs=True)
    [token] = reply["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["bytes"]) == ("é", [0xC3, 0xA9])
    assert len(bench.recorder.actions[0].response_logprobs) == 2


async def test_a_request_goes_to_the_newest_version_that_an_engine_has_loaded() -> None:
    bench = Bench()
    for version in (2, 1):
        bench.routes.apply(loaded(version))
    async with bench.client() as client:
        body = {"model": "assistant", "messages": [user("hi")]}
        response = await client.post("/v1/chat/completions", json=body)
    assert response.headers["x-policy-version"] == "2"
    assert bench.engine.requests[0].adapter == "assistant@2"
    [action] = bench.recorder.actions
    assert action.adapter == "assistant@2"
    assert action.token_versions == (VersionSpan(version=2, start=0, end=6),)
    assert response.headers["x-action-id"] == action.id
    assert response.headers["x-conversation-id"] == action.conversation_id


async def test_a_request_keeps_the_version_that_it_started_with() -> None:
    gate = asyncio.Event()
    bench = Bench([["Hel", gate, "lo."]])
    asking = asyncio.create_task(bench.chat(user("hi")))
    while not bench.engine.requests:
        await asyncio.sleep(0.01)
    bench.routes.apply(loaded(1))
    gate.set()
    await asking
    assert bench.recorder.actions[0].token_versions[0].version == 0


async def test_session_headers_are_honoured() -> None:
    bench = Bench([["one"], ["two"]])
    await bench.chat(user("a"), headers={"X-Session-Id": "s", "X-Turn-Type": "side"})
    await bench.chat(user("b"), headers={"X-Session-Id": "s", "X-Session-Done": "true"})
    side, last = bench.recorder.actions
    assert (side.turn_type, last.turn_type) == ("side", "main")
    assert side.conversation_id == last.conversation_id
    [ended] = bench.recorder.next_states
    assert (ended.action_id, ended.kind, ended.ended_reason) == (last.id, "ended", "done")


async def test_a_side_turn_is_recorded_but_says_nothing_about_the_main_turn_it_follows() -> None:
    bench = Bench([["Hello."], ["Greeting"], ["Bye."], ["A farewell"]])
    await bench.chat(user("hi"))
    history = (user("hi"), assistant("Hello."))
    await bench.chat(*history, user("Give this chat a title."), headers={"X-Turn-Type": "side"})
    await bench.chat(*history, user("bye"))
    first, side, second = bench.recorder.actions
    assert side.parent_action_id == first.id == second.parent_action_id
    [state] = bench.recorder.next_states
    assert (state.action_id, state.messages[0].content) == (first.id, "bye")
    async with bench.client() as client:
        assert 'nextstate_matches_total{kind="branch"}' not in (await client.get("/metrics")).text


async def test_keys_are_tenants_that_do_not_share_conversations() -> None:
    bench = Bench([["Hello."], ["Bye."]], api_keys={"key-a": "a", "key-b": "b"})
    await bench.chat(user("hi"), headers={"Authorization": "Bearer key-a"})
    await bench.chat(user("hi"), assistant("Hello."), user("bye"), headers={"Authorization": "Bearer key-b"})
    first, second = bench.recorder.actions
    assert (first.tenant, second.tenant) == ("a", "b")
    assert second.parent_action_id is None
    assert bench.recorder.next_states == []


async def test_a_next_state_is_recorded_also_when_its_own_request_is_refused() -> None:
    bench = Bench()
    await bench.chat(user("hi"))
    body = {"model": "assistant", "messages": [user("hi"), assistant("Hello."), user("long " * 200)]}
    response = await bench.post(body)
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert bench.recorder.next_states[0].action_id == bench.recorder.actions[0].id


async def test_a_whole_answer_waits_for_its_action_to_be_safe() -> None:
    bench = Bench()
    bench.recorder.gate = asyncio.Event()
    asking = asyncio.create_task(bench.chat(user("hi")))
    await bench.recorder.asked.wait()
    await asyncio.sleep(0.05)
    assert not asking.done()
    bench.recorder.gate.set()
    assert (await asking)["choices"][0]["finish_reason"] == "stop"


async def test_models_are_the_policies() -> None:
    async with Bench().client() as client:
        assert [model["id"] for model in (await client.get("/v1/models")).json()["data"]] == ["assistant"]


async def test_health_is_ready_while_the_engine_answers_and_events_can_be_kept() -> None:
    bench = Bench()
    async with bench.client() as client:
        assert (await client.get("/health")).json()["status"] == "ready"
        bench.recorder.place = "spool"
        spooling = await client.get("/health")
        assert (spooling.status_code, spooling.json()["recording"]) == (200, "spool")
        bench.engine.alive = False
        response = await client.get("/health")
    assert (response.status_code, response.json()["engine"]) == (503, False)


async def test_health_is_not_ready_when_nothing_can_be_recorded() -> None:
    bench = Bench()
    bench.recorder.place = "nowhere"
    await bench.post({"model": "assistant", "messages": [user("hi")]})
    async with bench.client() as client:
        response = await client.get("/health")
    assert (response.status_code, response.json()["recording"]) == (503, "nowhere")


async def test_metrics_count_requests_events_matches_and_the_version() -> None:
    bench = Bench()
    await bench.chat(user("hi"))
    await bench.post({"model": "other", "messages": [user("hi")]})
    bench.routes.apply(loaded(3))
    async with bench.client() as client:
        text = (await client.get("/metrics")).text
    for line in (
        'nextstate_requests_total{path="/v1/chat/completions",status="200"} 1.0',
        'nextstate_requests_total{path="/v1/chat/completions",status="404"} 1.0',
        'nextstate_events_total{place="kafka",topic="actions"} 1.0',
        'nextstate_matches_total{kind="opening"} 1.0',
        'nextstate_actions_total{finish="stop"} 1.0',
        'nextstate_policy_version{policy="assistant"} 3.0',
        "nextstate_first_token_seconds_count 1.0",
        "nextstate_finish_held_seconds_count 1.0",
        "nextstate_open_actions 1.0",
        "nextstate_requests_in_flight 1.0",  # this very request for the metrics
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("field", ["stop", "presence_penalty", "logit_bias", "top_k"])
async def test_every_sampling_field_reaches_the_engine_and_the_record(field: str) -> None:
    given: dict[str, Any] = {"stop": "\n", "presence_penalty": 0.5, "logit_bias": {"65": -100}, "top_k": 5}
    recorded = {"stop": ("\n",), "presence_penalty": 0.5, "logit_bias": True, "top_k": 5}
    bench = Bench()
    await bench.chat(user("hi"), **{field: given[field]})
    assert getattr(bench.recorder.actions[0].sampling, field) == recorded[field]
    [request] = bench.engine.requests
    assert getattr(request.sampling, field) == recorded[field]
    assert request.logit_bias == ({65: -100.0} if field == "logit_bias" else {})


def loaded(version: int) -> PolicyLoaded:
    return PolicyLoaded(
        id=f"loaded-{version}",
        time_ms=0,
        policy="assistant",
        version=version,
        checkpoint_id="c",
        engine="e",
        adapter=f"assistant@{version}",
        load_ms=1,
    )


async def test_an_action_whose_base_was_forgotten_while_it_was_drawn_can_still_be_answered() -> None:
    gate = asyncio.Event()
    bench = Bench([["Hello."], [gate, "Fine."], ["Other."], ["Bye."]])
    await bench.chat(user("hi"))
    history = [user("hi"), assistant("Hello."), user("how are you")]
    drawing = asyncio.create_task(bench.chat(*history))
    while len(bench.engine.requests) < 2:
        await asyncio.sleep(0)
    bench.time_ms += 2 * 10**9  # past the age limit
    await bench.chat(user("something else"))
    gate.set()
    await drawing
    await bench.chat(*history, assistant("Fine."), user("bye"))
    _, _, answered, last = bench.recorder.actions
    assert answered.base_action_id is not None
    assert last.parent_action_id == answered.id
    assert last.conversation_id == answered.conversation_id
    whole = resolve(last, resolve(answered, resolve(bench.recorder.actions[0], None)))
    assert whole.prompt_ids == bench.engine.requests[-1].prompt_ids
