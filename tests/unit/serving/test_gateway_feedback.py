"""What feedback leaves in the log, of which answer, and how often; and what is refused in a sentence."""

import asyncio
from typing import Any

import httpx
import pytest
from cloudevents_made import ACTION, cloudevent

from schemas.events import FeedbackGiven
from serving.feedback import MAX_BODY_BYTES, MAX_PER_ANSWER
from tests.unit.serving.gateway_fakes import Bench, assistant, user

KEYS = {"key-a": "tenant-a", "key-b": "tenant-b"}


class Rated:
    """A gateway that has given one answer."""

    def __init__(self, **settings: Any) -> None:
        self.bench = Bench([["Hello."], ["Bye."], ["More."]], **settings)
        self.reply: httpx.Response

    async def answer(self, headers: dict[str, str] | None = None, **fields: Any) -> "Rated":
        body = {"model": "assistant", "messages": [user("hi")], "user": "ada", **fields}
        self.reply = await self.bench.post(body, headers)
        assert self.reply.status_code == 200
        return self

    @property
    def response_id(self) -> str:
        return str(self.reply.json()["id"])

    @property
    def feedback(self) -> list[FeedbackGiven]:
        return [event for event in self.bench.recorder.events if isinstance(event, FeedbackGiven)]

    async def send(self, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        async with self.bench.client() as client:
            return await client.post("/v1/feedback", json=body, headers=headers or {})

    async def give(self, **body: Any) -> dict[str, Any]:
        response = await self.send(**{"response_id": self.response_id, **body})
        assert response.status_code == 200, response.text
        answered: dict[str, Any] = response.json()
        return answered


async def test_feedback_is_recorded_on_the_answer_and_about_its_person() -> None:
    rated = await Rated().answer()
    said = await rated.give(thumb=-1, rating=2, worst_rating=1, best_rating=5, comment=" Too long. ")
    [action] = rated.bench.recorder.actions
    [event] = rated.feedback
    assert (event.action_id, event.conversation_id, event.policy) == (action.id, action.conversation_id, "assistant")
    assert (event.tenant, event.subject, event.source) == ("default", "ada", "chat")
    assert (event.thumb, event.rating, event.worst_rating, event.best_rating) == (-1, 2.0, 1.0, 5.0)
    assert event.comment == "Too long."
    assert said == {
        "id": event.id,
        "object": "feedback",
        "action_id": action.id,
        "conversation_id": action.conversation_id,
        "thumb": -1,
        "repeated": False,
    }


@pytest.mark.parametrize(("said", "thumb"), [(1, 1), ("up", 1), (-1, -1), ("down", -1)])
async def test_a_thumb_is_a_number_or_a_word(said: object, thumb: int) -> None:
    rated = await Rated().answer()
    assert (await rated.give(thumb=said))["thumb"] == thumb
    assert rated.feedback[0].thumb == thumb


async def test_a_rating_is_answered_with_the_thumb_that_it_counts_as() -> None:
    rated = await Rated().answer()
    stars = {"worst_rating": 1, "best_rating": 5}
    assert [(await rated.give(rating=stars_given, **stars))["thumb"] for stars_given in (5, 3, 1.5)] == [1, None, -1]


async def test_an_answer_is_named_by_any_of_its_names() -> None:
    rated = await Rated().answer(headers={"X-Session-Id": "s-1"})
    [action] = rated.bench.recorder.actions
    request_id = rated.response_id.removeprefix("chatcmpl-")
    for number, target in enumerate((
        {"response_id": rated.response_id},
        {"response_id": f"resp_{request_id}"},
        {"response_id": f"msg_{request_id}"},
        {"action_id": rated.reply.headers["x-action-id"]},
        {"conversation_id": rated.reply.headers["x-conversation-id"]},
        {"session_id": "s-1"},
    )):  # fmt: skip
        response = await rated.send(comment=f"Comment {number}.", **target)
        assert response.json()["action_id"] == action.id


async def test_of_a_conversation_the_last_answer_is_meant_and_never_a_side_turn() -> None:
    rated = await Rated().answer(headers={"X-Session-Id": "s-1"})
    history = [user("hi"), assistant("Hello."), user("bye")]
    for headers in ({"X-Session-Id": "s-1"}, {"X-Session-Id": "s-1", "X-Turn-Type": "side"}):
        await rated.bench.chat(*history, headers=headers)
    await rated.send(session_id="s-1", thumb="up")
    assert rated.feedback[0].action_id == rated.bench.recorder.actions[1].id


async def test_of_a_conversation_that_was_observed_the_last_answer_is_meant_and_never_a_side_turn() -> None:
    rated = Rated()
    for number, turn_type in enumerate(("main", "main", "side")):
        observed = cloudevent(f"a-{number}", {**ACTION, "turn_type": turn_type})
        async with rated.bench.client() as client:
            assert (await client.post("/v1/events", json=observed)).status_code == 200
    assert (await rated.send(conversation_id="lesson-7", thumb=1)).status_code == 200
    assert rated.feedback[0].action_id == "a-1"


@pytest.mark.parametrize("response_id", ["chatcmpl-", "resp_", "-"])
async def test_a_prefix_alone_names_no_answer(response_id: str) -> None:
    rated = Rated()
    async with rated.bench.client() as client:
        await client.post("/v1/events", json=cloudevent("a-1", ACTION))
    assert (await rated.send(response_id=response_id, thumb=1)).status_code == 404


async def test_a_response_id_that_a_client_has_rewritten_is_still_found() -> None:
    rated = await Rated().answer()
    rewritten = rated.response_id.replace("-", "")  # OpenClaw leaves letters and digits only
    assert (await rated.send(response_id=rewritten, thumb=1)).status_code == 200


async def test_of_several_choices_one_is_named() -> None:
    rated = await Rated().answer(n=2)
    response = await rated.send(response_id=rated.response_id, thumb=1)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "choice")
    assert "2 choices" in response.json()["error"]["message"]
    await rated.give(thumb=1, choice=1)
    chosen = next(action for action in rated.bench.recorder.actions if action.sibling == 1)
    assert rated.feedback[0].action_id == chosen.id
    assert (await rated.send(response_id=rated.response_id, thumb=1, choice=2)).status_code == 404


async def test_the_same_again_is_the_same_event_and_is_recorded_once() -> None:
    rated = await Rated().answer()
    first, second = await rated.give(thumb=1), await rated.give(thumb="up")
    assert first["id"] == second["id"]
    assert (first["repeated"], second["repeated"]) == (False, True)
    assert len(rated.feedback) == 1


async def test_a_thumb_that_changes_and_changes_back_is_three_events_and_the_last_is_the_newest() -> None:
    rated = await Rated().answer()
    said = [await rated.give(thumb=thumb) for thumb in (1, -1, 1)]
    assert len({one["id"] for one in said}) == 3
    assert [event.thumb for event in rated.feedback] == [1, -1, 1]
    assert [event.time_ms for event in rated.feedback] == sorted({event.time_ms for event in rated.feedback})


async def test_the_clients_own_id_tells_what_is_the_same() -> None:
    rated = await Rated().answer()
    first = await rated.give(id="mine", thumb=1)
    await rated.give(thumb=-1)
    assert (await rated.give(id="mine", thumb=1)) == {**first, "repeated": True}
    other = await rated.send(response_id=rated.response_id, id="mine", thumb=-1)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "id_used")
    assert len(rated.feedback) == 2


async def test_what_is_said_twice_at_the_same_moment_is_recorded_once_and_both_wait_for_it() -> None:
    rated = await Rated().answer()
    rated.bench.recorder.gate = asyncio.Event()
    sent = [asyncio.create_task(rated.give(id="mine", thumb=1)) for _ in range(2)]
    contrary = asyncio.create_task(rated.send(response_id=rated.response_id, id="mine", thumb=-1))
    await asyncio.wait([contrary])
    assert contrary.result().status_code == 409
    assert not any(task.done() for task in sent), "the answer waits until the event is safe"
    rated.bench.recorder.gate.set()
    said = await asyncio.gather(*sent)
    assert said[0]["id"] == said[1]["id"]
    assert len(rated.feedback) == 1


async def test_after_a_restart_the_same_is_still_the_same() -> None:
    rated = await Rated().answer()
    for thumb in (1, -1):
        await rated.give(thumb=thumb)
    bench = rated.bench
    later = Rated()
    later.reply = rated.reply
    later.bench.index.restore(bench.recorder.actions, [], [*rated.feedback[::-1], *rated.feedback])
    assert (await later.give(thumb=-1)) == {**(await rated.give(thumb=-1)), "repeated": True}
    assert (await later.give(thumb=1))["id"] not in {event.id for event in rated.feedback}


async def test_a_restore_while_it_serves_forgets_no_feedback() -> None:
    rated = await Rated().answer()
    first = await rated.give(thumb=1)
    rated.bench.index.restore(rated.bench.recorder.actions, [], [])
    assert (await rated.give(thumb=1))["id"] == first["id"]
    assert len(rated.feedback) == 1


async def test_another_tenants_answer_is_not_there_by_any_name() -> None:
    rated = await Rated(api_keys=KEYS).answer(headers={"Authorization": "Bearer key-a", "X-Session-Id": "s"})
    names = (
        {"response_id": rated.response_id},
        {"action_id": rated.reply.headers["x-action-id"]},
        {"conversation_id": rated.reply.headers["x-conversation-id"]},
        {"session_id": "s"},
    )
    for name in names:
        foreign = await rated.send(headers={"Authorization": "Bearer key-b"}, thumb=1, **name)
        assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "answer_not_found")
        own = await rated.send(headers={"Authorization": "Bearer key-a"}, thumb=1, **name)
        assert own.status_code == 200
    assert {event.tenant for event in rated.feedback} == {"tenant-a"}
    assert (await rated.send(thumb=1, **names[0])).status_code == 401


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"thumb": 1}, None, "send one of 'response_id', 'action_id', 'conversation_id', 'session_id'; the body has 0"),
        ({"action_id": "a", "session_id": "s", "thumb": 1}, None, "the body has 2"),
        ({"action_id": "a"}, None, "says nothing: send 'thumb', 'rating' or 'comment'"),
        ({"action_id": "a", "comment": "  "}, None, "says nothing"),
        ({"action_id": "a", "thumb": 2}, "thumb", """'thumb' cannot be used: send 1 or "up", -1 or "down"."""),
        ({"action_id": "a", "thumb": True}, "thumb", "send 1"),
        ({"action_id": "a", "thumb": ["up"]}, "thumb", "send 1"),
        ({"action_id": "a", "rating": 4}, "rating", "'worst_rating' and 'best_rating' together"),
        ({"action_id": "a", "best_rating": 4, "thumb": 1}, "rating", "needs its scale"),
        ({"action_id": "a", "rating": 6, "worst_rating": 1, "best_rating": 5}, "rating", "The rating 6 is not between"),
        ({"action_id": "a", "rating": 1, "worst_rating": 1, "best_rating": 1}, "rating", "not between"),
        ({"action_id": "a", "rating": "4"}, "rating", "'rating' must be a number"),
        ({"action_id": 7, "thumb": 1}, "action_id", "'action_id' must be a string"),
        ({"action_id": "", "thumb": 1}, "action_id", "'action_id' cannot be used"),
        ({"action_id": "a", "thumb": 1, "choice": -1}, "choice", "'choice' cannot be used"),
    ],
)
async def test_what_cannot_be_used_is_refused_in_one_sentence(body: dict[str, Any], param: str, says: str) -> None:
    rated = Rated()
    response = await rated.send(**body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert says in error["message"]
    assert "\n" not in error["message"]
    assert rated.feedback == []


@pytest.mark.parametrize("raw", [b"{", b"[]", b"7", b'{"thumb": 1e999}'])
async def test_a_body_that_is_no_object_is_refused(raw: bytes) -> None:
    async with Bench().client() as client:
        assert (await client.post("/v1/feedback", content=raw)).status_code == 400


async def test_an_answer_that_was_never_given_is_not_found_and_named() -> None:
    response = await (await Rated().answer()).send(response_id="chatcmpl-nobody", thumb=1)
    assert response.status_code == 404
    assert "no answer with response_id 'chatcmpl-nobody' here" in response.json()["error"]["message"]


async def test_a_body_over_the_limit_is_refused() -> None:
    rated = await Rated().answer()
    response = await rated.send(response_id=rated.response_id, comment="x" * MAX_BODY_BYTES)
    assert response.status_code == 413


async def test_nobody_fills_the_memory_with_one_answer() -> None:
    rated = await Rated().answer()
    for number in range(MAX_PER_ANSWER):
        await rated.give(comment=f"Comment {number}.")
    response = await rated.send(response_id=rated.response_id, comment="One more.")
    assert (response.status_code, response.json()["error"]["code"]) == (429, "too_much_feedback")
    assert (await rated.give(comment=f"Comment {MAX_PER_ANSWER - 1}."))["repeated"]


@pytest.mark.parametrize("when", ["refuse", "serve"])
async def test_feedback_that_cannot_be_kept_is_never_acknowledged(when: str) -> None:
    rated = await Rated(when_unrecordable=when).answer()
    rated.bench.recorder.place = "nowhere"
    for _ in range(2):
        response = await rated.send(response_id=rated.response_id, thumb=1)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "not_recordable")
    rated.bench.recorder.place = "kafka"
    assert (await rated.give(thumb=1))["repeated"] is False
    assert len(rated.feedback) == 1
