"""`DOORS`: every way to speak of another tenant's turn at the gateway; `forged`: the same, written straight to the log.

Pure: consumes what the other tenant has, produces requests and events.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import httpx

from schemas.context import context_of
from schemas.events import ActionTaken, Event, FeedbackGiven, Message, NextStateObserved
from schemas.identity import digest_text, tenants_id

RESPONSES, CHAT, FEEDBACK, EVENTS = "/v1/responses", "/v1/chat/completions", "/v1/feedback", "/v1/events"
FORGED = "forged"  # the subject of what is written past the gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """What the stranger knows of the owner: everything but the key."""

    action: ActionTaken
    secret: str  # what the owner said
    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One attempt. `is_refused`: it must be; else it is a request of the stranger's own, and must stay that."""

    path: str
    body: Any = None  # None: a GET
    headers: Mapping[str, str] = field(default_factory=dict)
    is_refused: bool = True

    def sent_by(self, client: httpx.AsyncClient, key: str) -> httpx.Request:
        """The request with somebody's key."""
        headers = {"authorization": f"Bearer {key}", **self.headers}
        return client.build_request("GET" if self.body is None else "POST", self.path, json=self.body, headers=headers)


def _told_again(theirs: Theirs) -> list[Request]:
    return [Request(path=f"{RESPONSES}/{prefix}{theirs.action.id}") for prefix in ("resp_", "msg_", "")]


def _continued(theirs: Theirs) -> list[Request]:
    body = {"model": theirs.action.policy, "input": "And?"}
    item = {"type": "item_reference", "id": f"msg_{theirs.action.id}"}
    bodies = [body | {"previous_response_id": f"resp_{theirs.action.id}"}, body | {"input": [item]}]
    return [Request(path=RESPONSES, body=each) for each in bodies]


def _said_again(theirs: Theirs) -> list[Request]:
    messages = [
        {"role": "user", "content": theirs.secret},
        {"role": "assistant", "content": theirs.action.reply.content},
        {"role": "user", "content": "No, that is wrong."},
    ]
    body = {"model": theirs.action.policy, "messages": messages}
    sessions = [{}, {"x-session-id": theirs.session}, {"x-session-id": theirs.action.conversation_id}]
    return [Request(path=CHAT, body=body, headers=headers, is_refused=False) for headers in sessions]


def _rated(theirs: Theirs) -> list[Request]:
    action = theirs.action
    names = {
        "action_id": action.id,
        "response_id": f"resp_{action.id}",
        "conversation_id": action.conversation_id,
        "session_id": theirs.session,
    }
    return [  # a session of that name the stranger has, too: its own
        Request(path=FEEDBACK, body={target: name, "thumb": -1}, is_refused=target != "session_id")
        for target, name in names.items()
    ]


def _reported(theirs: Theirs) -> list[Request]:
    action = theirs.action
    talk = {"policy": action.policy, "conversation_id": f"of-the-stranger-{action.id}"}
    said = {"messages": [{"role": "user", "content": "Wrong."}]}
    turn = {
        **talk,
        "turn": 0,
        "request_id": "",
        "model": "m",
        "messages": [],
        "reply": {"role": "assistant", "content": "x"},
        **{name: [] for name in ("prompt_ids", "response_ids", "response_logprobs", "token_versions")},
        "sampling": {},
        "finish_reason": "stop",
        "logprob_origin": "unscored",
        "template_digest": "",
    }
    state, taken, thumb = "next_state.observed.v1", "action.taken.v2", "feedback.given.v2"
    return [
        _event(state, "x", {**talk, **said, "action_id": action.id}),
        _event(thumb, "x", {**talk, "thumb": -1, "action_id": action.id}),
        _event(taken, action.id, turn),
        _event(taken, "y", {**turn, "base_action_id": action.id, "kept_messages": 1}),
        _event(taken, "z", {**turn, "parent_action_id": action.id}),
        _event(taken, "other-policy", {**turn, "policy": "of-the-owner"}),
        _event(state, "as-owner", {**talk, **said, "action_id": action.id, "tenant": action.tenant}),
        _event(state, "w", {**talk, **said, "action_id": tenants_id(action.tenant, "turn-1")}, is_refused=False),
    ]


def _event(kind: str, event_id: str, data: dict[str, Any], *, is_refused: bool = True) -> Request:
    body = {
        "specversion": "1.0",
        "id": event_id,
        "source": "stranger",
        "type": f"nextstate.{kind}",
        "time": "2026-01-31T12:00:00Z",
        "data": data,
    }
    return Request(path=EVENTS, body=body, is_refused=is_refused)


def _looked_up(_: Theirs) -> list[Request]:
    return [Request(path="/metrics")]


DOORS: Mapping[str, Callable[[Theirs], Sequence[Request]]] = MappingProxyType(
    {
        "telling an answer again": _told_again,
        "continuing an answer": _continued,
        "saying the same words": _said_again,
        "rating an answer": _rated,
        "reporting events": _reported,
        "the metrics": _looked_up,
    }
)


def forged(theirs: Theirs, tenant: str) -> list[Event]:
    """Events of another tenant about the owner's turn, as who may write to Kafka could write them."""
    action = theirs.action
    about = context_of(action)
    about["tenant"], about["subject"] = tenant, FORGED
    wrong = (Message(role="user", content="Wrong."),)
    return [
        NextStateObserved(id=digest_text("forged state", action.id), action_id=action.id, messages=wrong, **about),
        FeedbackGiven(id=digest_text("forged thumb", action.id), action_id=action.id, thumb=-1, **about),
        replace(
            action, tenant=tenant, subject=FORGED, id=digest_text("forged turn", action.id), base_action_id=action.id
        ),
    ]
