"""One tenant with another's ids in hand: it reads nothing, changes nothing, and learns of no more than its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from cloudevents_made import ACTION, FEEDBACK, NEXT_STATE, cloudevent
from otlp_talk import batch, chat, span

from schemas.events import ActionTaken
from schemas.identity import digest_text
from serving.gateway_process import restore
from serving.routing import Routes
from serving.sglang_wire import generate_body
from streams.conversation import session_conversation
from tests.unit.serving.gateway_fakes import Bench, assistant, user

SECRET = "The vault opens at nine."
OWNER, STRANGER = {"authorization": "Bearer of-acme"}, {"authorization": "Bearer of-bolt"}
KEYS = {"of-acme": "acme", "of-bolt": "bolt"}
RESPONSES = "/v1/responses"


class Crossed:
    """acme has talked, under a session id that it names; bolt knows every id of that."""

    def __init__(self, **settings: Any) -> None:
        self.bench = Bench([[SECRET]], api_keys=KEYS, **settings)

    @classmethod
    @asynccontextmanager
    async def talk(cls) -> AsyncIterator["Crossed"]:
        crossed = cls()
        body = {"model": "assistant", "input": "When does it open?", "instructions": SECRET}
        await crossed.bench.post(body, OWNER | {"x-session-id": "s-1"}, path=RESPONSES)
        crossed.before = list(crossed.bench.recorder.events)
        yield crossed

    before: list[Any]

    @property
    def theirs(self) -> ActionTaken:
        return self.bench.recorder.actions[0]

    @property
    def new(self) -> list[Any]:
        return self.bench.recorder.events[len(self.before) :]

    async def get(self, path: str) -> httpx.Response:
        async with self.bench.client() as client:
            return await client.get(path, headers=STRANGER)


async def test_a_strangers_answer_cannot_be_told_again_or_continued_or_referred_to() -> None:
    async with Crossed.talk() as crossed:
        action_id = crossed.theirs.id
        answers = [await crossed.get(f"{RESPONSES}/resp_{action_id}")]
        for change in (
            {"previous_response_id": f"resp_{action_id}"},
            {"input": [{"type": "item_reference", "id": f"msg_{action_id}"}, {"role": "user", "content": "And?"}]},
        ):
            body = {"model": "assistant", "input": "And?"} | change
            answers.append(await crossed.bench.post(body, STRANGER, path=RESPONSES))
        assert all(answer.status_code in {400, 404} for answer in answers)
        assert SECRET not in "".join(answer.text for answer in answers)
        assert crossed.new == []


async def test_a_strangers_answer_cannot_be_rated_by_any_of_its_names() -> None:
    async with Crossed.talk() as crossed:
        action = crossed.theirs
        for target, name in {
            "action_id": action.id,
            "response_id": f"resp_{action.id}",
            "conversation_id": action.conversation_id,
            "session_id": "s-1",
        }.items():
            answer = await crossed.bench.post({target: name, "thumb": -1}, STRANGER, path="/v1/feedback")
            assert answer.status_code == 404
        assert crossed.new == []


async def test_a_strangers_words_and_session_continue_nothing() -> None:
    async with Crossed.talk() as crossed:
        history = [user("When does it open?"), assistant(SECRET), user("No, at ten.")]
        for session in ({}, {"x-session-id": "s-1"}):
            await crossed.bench.chat(*history, headers=STRANGER | session)
        assert [type(event).__name__ for event in crossed.new] == ["ActionTaken"] * 2
        for action in crossed.new:
            assert (action.tenant, action.parent_action_id) == ("bolt", None)
            assert action.conversation_id != crossed.theirs.conversation_id


@pytest.mark.parametrize(
    "value",
    [
        {**ACTION, "base_action_id": "THEIRS"},
        {**ACTION, "parent_action_id": "THEIRS"},
        {**NEXT_STATE, "action_id": "THEIRS"},
        {**FEEDBACK, "action_id": "THEIRS"},
    ],
)
async def test_no_event_speaks_of_a_strangers_answer(value: dict[str, Any]) -> None:
    async with Crossed.talk() as crossed:
        named = {name: crossed.theirs.id if text == "THEIRS" else text for name, text in value.items()}
        answer = await crossed.bench.post(cloudevent("x", named), STRANGER, path="/v1/events")
        assert answer.status_code == 400
        taken = await crossed.bench.post(cloudevent(crossed.theirs.id, ACTION), STRANGER, path="/v1/events")
        assert taken.status_code == 400
        assert crossed.new == []


async def test_a_span_with_a_strangers_response_and_session_is_the_senders_own_turn() -> None:
    async with Crossed.talk() as crossed:
        told = chat("When does it open?", SECRET, gen_ai__response__id=f"resp_{crossed.theirs.id}", session__id="s-1")
        async with crossed.bench.client() as client:
            headers = STRANGER | {"content-type": "application/x-protobuf"}
            await client.post("/v1/traces", content=batch(span(told)).SerializeToString(), headers=headers)
        [action] = crossed.new
        assert (action.tenant, action.parent_action_id) == ("bolt", None)
        assert action.conversation_id != session_conversation("acme", "s-1")


async def test_what_a_tenant_will_say_cannot_be_answered_before_it_says_it() -> None:
    """acme's own names become ids by a rule that everybody can follow; they are still acme's only."""
    bench = Bench(api_keys={**KEYS, "of-all": "default"})
    await bench.post(cloudevent("turn-1", ACTION), OWNER, path="/v1/events")
    bench.index.forget(bench.recorder.actions[0].id)
    theirs = bench.recorder.actions[0].id
    for stranger in (STRANGER, {"authorization": "Bearer of-all"}):
        for event_id, value in {"x": {**NEXT_STATE, "action_id": theirs}, theirs: ACTION}.items():
            answer = await bench.post(cloudevent(event_id, value), stranger, path="/v1/events")
            assert answer.status_code == 200
    strangers = bench.recorder.events[1:]
    assert len(strangers) == 4
    assert theirs not in {getattr(event, name, None) for event in strangers for name in ("id", "action_id")}


async def test_only_policies_that_are_served_here_learn_from_events() -> None:
    bench = Bench(api_keys=KEYS)
    answer = await bench.post(cloudevent("x", {**ACTION, "policy": "of-acme"}), STRANGER, path="/v1/events")
    assert answer.status_code == 400
    assert "for the policy 'of-acme', but this gateway serves assistant" in answer.json()["error"]["message"]
    assert bench.recorder.events == []


async def test_the_engines_prefix_cache_tells_no_tenant_what_another_has_asked() -> None:
    bench = Bench([["a"], ["b"], ["c"]], api_keys={**KEYS, "of-all": "default"})
    for headers in (OWNER, STRANGER, {"authorization": "Bearer of-all"}):
        await bench.chat(user("hi"), headers=headers)
    scopes = [generate_body(request).get("extra_key") for request in bench.engine.requests]
    assert scopes[2] is None  # also of a gateway without keys: one cache for all
    assert len(set(scopes)) == 3
    assert scopes[0] == digest_text("tenant", "acme")


async def test_after_a_restart_the_first_record_of_an_id_is_whose_it_is() -> None:
    bench = Bench(api_keys=KEYS)
    uuid = "0197a5f0-1c2b-7d3e-8f40-5a6b7c8d9e0f"
    await bench.post(cloudevent(uuid, {**ACTION, "reply": assistant(SECRET)}), OWNER, path="/v1/events")
    bench.index.forget(uuid)  # too old, say: nothing tells any more that there is one
    await bench.post(cloudevent(uuid, ACTION), STRANGER, path="/v1/events")
    on_it = {**ACTION, "base_action_id": uuid, "kept_messages": 2, "messages": [user("And?")]}
    bench.index.forget(uuid)
    await bench.post(cloudevent("on-it", on_it), STRANGER, path="/v1/events")
    assert [action.tenant for action in bench.recorder.actions] == ["acme", "bolt", "bolt"]
    restarted = Bench(api_keys=KEYS)
    restore(bench.recorder.events, restarted.index, Routes("assistant"))
    known = restarted.index.get(uuid)
    assert known is not None
    assert known.about.tenant == "acme"
    assert restarted.index.get(bench.recorder.actions[2].id) is None  # it would hold acme's words


ADMIN = {"authorization": "Bearer of-admins"}


async def test_only_admins_see_what_is_of_all_tenants() -> None:
    bench = Bench(api_keys=KEYS, admin_key="of-admins")
    async with bench.client() as client:
        for headers, status in ((ADMIN, 200), (OWNER, 401), ({}, 401)):
            assert (await client.get("/metrics", headers=headers)).status_code == status
            health = await client.get("/health", headers=headers)
            assert health.status_code == 200
            assert (health.json().keys() == {"status"}) == (headers is not ADMIN)
        assert (await client.get("/metrics", headers={"x-api-key": "of-admins"})).status_code == 200


async def test_an_admins_key_is_nobodys_key_for_the_policy() -> None:
    bench = Bench(api_keys=KEYS, admin_key="of-admins")
    async with bench.client() as client:
        assert (await client.get("/v1/models", headers=ADMIN)).status_code == 401
        assert (await client.get("/v1/models", headers=OWNER)).status_code == 200


async def test_tenants_without_an_admin_have_no_metrics_and_without_keys_all_see_them() -> None:
    async with Bench(api_keys=KEYS).client() as client:
        answer = await client.get("/metrics", headers=OWNER)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_only")
        assert "NEXTSTATE_ADMIN_KEY" in answer.json()["error"]["message"]
    async with Bench().client() as client:
        assert (await client.get("/metrics")).status_code == 200
        assert "versions" in (await client.get("/health")).json()


async def test_an_admin_key_alone_shuts_the_metrics_and_nothing_else() -> None:
    async with Bench(admin_key="of-admins").client() as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/v1/models")).status_code == 200
