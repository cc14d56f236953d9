"""`Intake`: POST /v1/events, where producers elsewhere say what happened: CloudEvents 1.0 in JSON, one or a batch.

    admission ──► read each ──► is every action that it names this tenant's? ──► recorder ──► per-event results

Each event stands for itself: the good ones are taken, the bad ones named. An accepted event is safe, in Kafka or in the
spool, before the answer is sent. The id makes an event: the log's first record of it counts, so a producer that did not
hear the answer sends the same batch again. Unblocked by: the recorder.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import RejectedError
from schemas.events import ActionTaken, Event, FeedbackGiven, NextStateObserved
from serving.admission import read_body, tenant_of
from serving.api_errors import ApiError
from serving.config import GatewayConfig
from serving.json_body import load_json
from serving.protocols.openai import error_body
from serving.recording import Recording
from serving.routing import Routes
from streams.cloudevents import read_cloudevent
from streams.conversation import ConversationIndex
from streams.open_actions import open_action
from streams.topics import TOPIC_OF

CONTENT_TYPES = ("application/cloudevents+json", "application/cloudevents-batch+json", "application/json")
AT_ONCE = 256  # events on their way to Kafka at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An event that was not taken. `index`: its place in the batch, from 0; `id`: where it has one."""

    index: int
    id: str | None
    reason: str


class Intake:
    """The endpoint."""

    def __init__(self, config: GatewayConfig, recording: Recording, index: ConversationIndex, routes: Routes) -> None:
        self._config = config
        self._recording = recording
        self._index = index
        self._routes = routes

    async def events(self, request: Request) -> Response:
        """POST /v1/events. 200 where any event was taken, `rejected` names the others; 400 where none was."""
        tenant = tenant_of(request.headers, self._config.api_keys)
        self._recording.admit()
        _refuse_other_types(request.headers.get("content-type", CONTENT_TYPES[0]))
        sent = list(enumerate(_read_events(await read_body(request, self._config.max_body_bytes))))
        refused: list[Refusal] = []
        for start in range(0, len(sent), AT_ONCE):
            refused += await self._take(sent[start : start + AT_ONCE], tenant)
        num_accepted = len(sent) - len(refused)
        body: dict[str, Any] = {"accepted": num_accepted, "rejected": refused}
        if refused and not num_accepted:
            error = ApiError(f"No event was taken; the first because: {refused[0].reason}", code="events_rejected")
            return _answer({**error_body(error), **body}, error.status)
        return _answer(body, HTTPStatus.OK)

    async def _take(self, some: Sequence[tuple[int, Any]], tenant: str) -> list[Refusal]:
        """Make some events safe.

        Raises:  SpoolFullError: not all can be; those that are may be sent again.
        """
        taken: list[tuple[int, Any, Event]] = []
        refused: list[Refusal] = []
        for place, raw in some:
            try:
                event = read_cloudevent(raw, tenant)
                self._refuse_others_actions(event)
                self._refuse_others_policies(event)
                _refuse_unusable(event)
                taken.append((place, raw, event))
            except RejectedError as error:
                refused.append(_refusal(place, raw, error))
        # Tasks start in this order, so the events of a conversation reach Kafka in it.
        results = await asyncio.gather(*(self._keep(event) for _, _, event in taken), return_exceptions=True)
        for (place, raw, _), result in zip(taken, results, strict=True):
            if isinstance(result, RejectedError):
                refused.append(_refusal(place, raw, result))
            elif isinstance(result, BaseException):
                raise result
        return sorted(refused, key=lambda one: one.index)

    async def _keep(self, event: Event) -> None:
        await self._recording.must_keep(TOPIC_OF[type(event)], event)
        if isinstance(event, ActionTaken):
            self._index.add(event)

    def _refuse_others_actions(self, event: Event) -> None:
        """Raises RejectedError for an action of another tenant; the sentence does not say that there is one."""
        for action_id in _named_actions(event):
            action = self._index.get(action_id)
            if action is not None and action.about.tenant != event.tenant:
                message = f"{event.type} {event.id} names the action {action_id}, which is none of this key's tenant."
                raise RejectedError(message)

    def _refuse_others_policies(self, event: Event) -> None:
        """Raises RejectedError for an action that a policy would learn from which this gateway does not serve.

        What comes after an action (its next state, what is said of it) counts for the policy that the action names.
        """
        if isinstance(event, ActionTaken) and event.policy not in self._routes.versions:
            served = ", ".join(self._routes.versions)
            message = f"{event.type} {event.id} is for the policy {event.policy!r}, but this gateway serves {served}."
            raise RejectedError(message)


def _refuse_unusable(event: Event) -> None:
    """Raises RejectedError for an action that could not be opened: none may be in the log, for every start reads it."""
    if isinstance(event, ActionTaken):
        open_action(event, None, event.time_ms)


def _named_actions(event: Event) -> Iterator[str]:
    match event:
        case ActionTaken():
            yield from filter(None, (event.id, event.base_action_id, event.parent_action_id))
        case NextStateObserved() | FeedbackGiven():
            yield event.action_id


def _refusal(place: int, raw: Any, error: RejectedError) -> Refusal:
    given = raw.get("id") if isinstance(raw, dict) else None
    return Refusal(index=place, id=given if isinstance(given, str) else None, reason=str(error))


def _refuse_other_types(content_type: str) -> None:
    if content_type.partition(";")[0].strip().lower() not in CONTENT_TYPES:
        message = f"The content type {content_type!r} is none of {', '.join(CONTENT_TYPES)}."
        raise ApiError(message, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code="unsupported_content_type")


def _read_events(body: bytes) -> list[Any]:
    """The events of a body: of a list each, else the one."""
    sent = load_json(body)
    return sent if isinstance(sent, list) else [sent]


def _answer(body: dict[str, Any], status: HTTPStatus) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")
