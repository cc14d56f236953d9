"""POST /v1/events: what producers elsewhere say is taken event by event, safe before the answer, and their own only."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from cloudevents_made import ACTION, FEEDBACK, NEXT_STATE, OUTCOME, WHOSE, cloudevent

from schemas.events import ActionTaken, FeedbackGiven, NextStateObserved, OutcomeReported
from tests.unit.serving.gateway_fakes import Bench, assistant, user

KEYS = {"api_keys": {"key-a": "acme", "key-b": "bolt"}}


async def post(
    bench: Bench, body: object, key: str | None = None, content_type: str = "application/json"
) -> httpx.Response:
    headers = {"content-type": content_type, **({"authorization": f"Bearer {key}"} if key else {})}
    content = body if isinstance(body, bytes) else httpx.Request("POST", "http://x", json=body).read()
    async with bench.client() as client:
        return await client.post("/v1/events", content=content, headers=headers)


async def test_one_event_is_taken_with_its_own_id_and_time() -> None:
    bench = Bench()
    response = await post(bench, cloudevent("action-1", ACTION), content_type="application/cloudevents+json")
    assert (response.status_code, response.json()) == (200, {"accepted": 1, "rejected": []})
    (event,) = bench.recorder.events
    assert isinstance(event, ActionTaken)
    assert (event.id, event.time_ms, event.tenant) == ("action-1", 1_769_860_800_000, "default")


async def test_a_batch_is_taken_in_its_order() -> None:
    bench = Bench()
    events = [cloudevent(f"e-{number}", value) for number, value in enumerate((ACTION, NEXT_STATE, FEEDBACK, OUTCOME))]
    response = await post(bench, events, content_type="application/cloudevents-batch+json; charset=utf-8")
    assert response.json() == {"accepted": 4, "rejected": []}
    assert [type(event) for event in bench.recorder.events] == [
        ActionTaken,
        NextStateObserved,
        FeedbackGiven,
        OutcomeReported,
    ]


async def test_the_good_ones_are_taken_and_the_bad_ones_named() -> None:
    bench = Bench()
    bad = cloudevent("b", {**NEXT_STATE, "messages": "hello"})
    response = await post(bench, [cloudevent("a", ACTION), bad, 7, cloudevent("c", NEXT_STATE)])
    assert response.status_code == 200
    refused = response.json()["rejected"]
    assert response.json()["accepted"] == 2
    assert [(one["index"], one["id"]) for one in refused] == [(1, "b"), (2, None)]
    assert "$.messages" in refused[0]["reason"]
    assert [event.id for event in bench.recorder.events] == ["a", "c"]


async def test_where_none_is_taken_the_status_says_so_in_the_apis_own_form() -> None:
    response = await post(Bench(), [cloudevent("b", {**FEEDBACK, "thumb": 5})])
    assert response.status_code == 400
    answer = response.json()
    assert answer["error"]["code"] == "events_rejected"
    assert (answer["accepted"], len(answer["rejected"])) == (0, 1)


async def test_the_same_again_is_accepted_again() -> None:
    bench = Bench()
    answers = [await post(bench, [cloudevent("a", ACTION)]) for _ in range(2)]
    assert [answer.json()["accepted"] for answer in answers] == [1, 1]
    assert len({event.id for event in bench.recorder.events}) == 1
    assert len(bench.index) == 1


async def test_an_older_version_is_read_as_todays() -> None:
    bench = Bench()
    old = cloudevent("thumb", {**WHOSE, "action_id": "action-1", "rating": -1}, type="nextstate.feedback.given.v1")
    assert (await post(bench, old)).json()["accepted"] == 1
    (event,) = bench.recorder.events
    assert isinstance(event, FeedbackGiven)
    assert (event.thumb, event.rating) == (-1, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, r"\$\.id"),
        ({"time": None}, r"\$\.time"),
        ({"time": "yesterday"}, "RFC 3339"),
        ({"time": "2026-01-31T12:00:00"}, "zone"),
        ({"data": None}, r"\$\.data"),
        ({"type": "nextstate.verdict.reached.v1"}, "none that producers write"),
        ({"type": "com.example"}, "none that producers write"),
        ({"data": {**ACTION, "conversation_id": ""}}, "conversation_id"),
        ({"data": {**ACTION, "response_logprobs": [-1.0]}}, "response_logprobs"),
        ({"data": {**ACTION, "reply": {"role": "user", "content": "4"}}}, "role 'user'"),
        ({"data": {**ACTION, "tools": "weather"}}, "tools"),
        ({"data": {**ACTION, "tools": "{}"}}, "tools"),
        ({"data": {**ACTION, "tools": "[3]"}}, "tools"),
        ({"data": {**ACTION, "tools": '[{"a":' + "[" * 5000}}, "tools"),
        ({"data": {**ACTION, "template_arguments": "[]"}}, "template_arguments"),
        ({"data": ACTION, "time": "9999-12-31T23:59:59-23:59"}, "RFC 3339"),
    ],
)
async def test_what_is_wrong_with_an_event_is_said(changes: dict[str, Any], reason: str) -> None:
    response = await post(Bench(), {**cloudevent("a", ACTION), **changes})
    assert response.status_code == 400
    (refused,) = response.json()["rejected"]
    assert re.search(reason, refused["reason"])


async def test_a_key_writes_into_its_own_tenant_only() -> None:
    bench = Bench(**KEYS)
    assert (await post(bench, cloudevent("a", ACTION))).status_code == 401
    assert (await post(bench, cloudevent("a", ACTION), "key-a")).status_code == 200
    assert (await post(bench, cloudevent("b", {**ACTION, "tenant": "acme"}), "key-a")).status_code == 200
    stolen = await post(bench, cloudevent("c", {**ACTION, "tenant": "acme"}), "key-b")
    assert "'acme'" in stolen.json()["rejected"][0]["reason"]
    assert [event.tenant for event in bench.recorder.events] == ["acme", "acme"]


UUID = "0197a5f0-1c2b-7d3e-8f40-5a6b7c8d9e0f"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (UUID, ACTION),
        ("x", {**ACTION, "base_action_id": UUID}),
        ("x", {**ACTION, "parent_action_id": UUID}),
        ("x", {**NEXT_STATE, "action_id": UUID}),
        ("x", {**FEEDBACK, "action_id": UUID}),
    ],
)
async def test_another_tenants_action_can_be_neither_taken_nor_answered(name: str, value: dict[str, Any]) -> None:
    bench = Bench(**KEYS)
    assert (await post(bench, cloudevent(UUID, ACTION), "key-a")).status_code == 200
    response = await post(bench, cloudevent(name, value), "key-b")
    assert response.status_code == 400
    assert "none of this key's tenant" in response.json()["rejected"][0]["reason"]
    assert [event.id for event in bench.recorder.events] == [UUID]


async def test_tenants_that_number_their_turns_from_1_do_not_meet() -> None:
    bench = Bench(**KEYS)
    batch = [cloudevent("action-1", ACTION), cloudevent("n-1", NEXT_STATE)]
    for key in ("key-a", "key-b", "key-a"):
        assert (await post(bench, batch, key)).json()["accepted"] == 2
    taken = {(event.tenant, event.id): event for event in bench.recorder.events}
    assert len({event_id for _, event_id in taken}) == len(taken) == 4
    for tenant in ("acme", "bolt"):
        action, state = (event for (whose, _), event in taken.items() if whose == tenant)
        assert isinstance(state, NextStateObserved)
        assert state.action_id == action.id


async def test_an_action_is_named_as_its_producer_did_or_as_the_log_does() -> None:
    bench = Bench(**KEYS)
    await post(bench, cloudevent("action-1", ACTION), "key-a")
    (action,) = bench.recorder.events
    async with bench.client() as client:
        for key, status in (("key-a", 200), ("key-b", 404)):
            for name in ("action-1", action.id):
                body, headers = {"action_id": name, "thumb": 1}, {"authorization": f"Bearer {key}"}
                response = await client.post("/v1/feedback", json=body, headers=headers)
                assert response.status_code == status
    states = [cloudevent(f"n-{name}", {**NEXT_STATE, "action_id": name}) for name in ("action-1", action.id)]
    assert (await post(bench, states, "key-a")).json()["accepted"] == 2
    assert {state.action_id for state in bench.recorder.next_states} == {action.id}


async def test_what_was_observed_elsewhere_is_known_to_the_next_chat_request() -> None:
    bench = Bench([["Bye."]])
    await post(bench, cloudevent("action-1", ACTION))
    await bench.chat(user("What is 2 + 2?"), assistant("4"), user("Thanks!"))
    (state,) = bench.recorder.next_states
    assert (state.action_id, state.conversation_id) == ("action-1", "lesson-7")


async def test_nothing_is_accepted_that_is_not_safe() -> None:
    for when in ("refuse", "serve"):
        bench = Bench(when_unrecordable=when)
        bench.recorder.place = "nowhere"
        response = await post(bench, [cloudevent("a", ACTION)])
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert len(bench.index) == 0


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"[" + b" " * 2_000 + b"]", "application/json", 413),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_whole(body: bytes, content_type: str, status: int) -> None:
    response = await post(Bench(max_body_bytes=1_000), body, content_type=content_type)
    assert response.status_code == status
    assert response.json()["error"]["message"]


async def test_an_empty_batch_is_no_fault() -> None:
    assert (await post(Bench(), [])).json() == {"accepted": 0, "rejected": []}


async def test_the_documented_line_is_taken() -> None:
    readme = (Path(__file__).parents[3] / "schemas" / "README.md").read_text()
    documented = re.search(r"curl \S+/v1/events -H 'content-type: (\S+)' -d '(.+?)'\n(\{.*\})", readme, re.DOTALL)
    assert documented is not None
    content_type, body, answer = documented.groups()
    response = await post(Bench(), body.encode(), content_type=content_type)
    assert response.text == answer


TOKENS: dict[str, Any] = {
    **ACTION,
    "logprob_origin": "engine",
    "response_ids": [5],
    "response_logprobs": [-1.0],
    "token_versions": [{"version": 0, "start": 0, "end": 1}],
}
DEEP = {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[" * 900 + "1.5" + "]" * 900}]}


async def test_what_could_not_be_opened_at_the_next_start_is_refused_alone() -> None:
    bench = Bench()
    good, bad = cloudevent("a", TOKENS), cloudevent("b", {**TOKENS, "prompt_ids": [2**31]})
    response = await post(bench, [good, bad, cloudevent("c", TOKENS)])
    assert (response.status_code, response.json()["accepted"]) == (200, 2)
    assert [one["id"] for one in response.json()["rejected"]] == ["b"]
    assert [event.id for event in bench.recorder.events] == ["a", "c"]


async def test_whatever_is_accepted_can_be_opened_at_the_next_start() -> None:
    bench = Bench()
    await post(bench, [cloudevent("a", {**ACTION, "reply": DEEP}), cloudevent("b", ACTION)])
    restarted = Bench().index
    assert restarted.restore(bench.recorder.actions, []) == len(bench.recorder.actions)


async def test_actions_that_build_on_each_other_without_end_are_still_put_together() -> None:
    bench = Bench()
    await post(bench, cloudevent("0", ACTION))
    for number in range(1, 1_200):
        delta = {**ACTION, "base_action_id": f"{number - 1}", "kept_messages": 1, "messages": []}
        await post(bench, cloudevent(f"{number}", delta))
    newest = bench.index.get("1199")
    assert newest is not None
    assert [message.content for message in newest.all_messages()] == ["What is 2 + 2?"]


@pytest.mark.parametrize("name", ["разговор", "a b", " a", "100%", "%41", "team:c/7?x=1"])
async def test_a_conversation_of_any_name_goes_on_here_and_is_rated_by_what_the_header_says(name: str) -> None:
    bench = Bench()
    await post(bench, cloudevent("a", {**ACTION, "conversation_id": name}))
    said = [user("What is 2 + 2?"), assistant("4"), user("Thanks!")]
    response = await bench.post({"model": "assistant", "messages": said})
    header = response.headers["x-conversation-id"]
    assert (response.status_code, unquote(header)) == (200, name)
    for conversation_id in (name, header):
        rated = await bench.post({"conversation_id": conversation_id, "thumb": 1}, path="/v1/feedback")
        assert rated.json()["conversation_id"] == name


@pytest.mark.parametrize("name", ["x\r\nset-cookie: a=1", "x" * 100_000])
async def test_a_name_that_is_none_is_refused(name: str) -> None:
    bench = Bench()
    response = await post(bench, cloudevent("a", {**ACTION, "conversation_id": name}))
    assert (response.status_code, bench.recorder.events) == (400, [])
    assert "conversation_id" in response.json()["rejected"][0]["reason"]
