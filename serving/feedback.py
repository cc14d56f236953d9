"""`Feedback`: POST /v1/feedback, what somebody says outright of an answer that this gateway gave.

    admission ──► read ──► find the answer ──► FeedbackGiven, once ──► recorder ──► response

The answer is one of the tenant's own open actions. What was said is safe before the client hears so; what it does is
the processors' business: a thumb rewards the turn in place of the judge, if it has not become a sample yet.

Saying the same again is saying it once. With an id of the client's, that id tells what is the same; without, it is the
same where nothing else has been said of the answer since: thumbs up, down and up again are three events, and the last
one counts. Owns the feedback that is being recorded; what was recorded, each open action knows.
"""

import asyncio
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.context import context_at
from schemas.events import FeedbackGiven
from schemas.feedback import digest_said, thumb_of
from schemas.identity import digest_text, tenants_id
from serving.admission import read_body, tenant_of
from serving.api_errors import ApiError
from serving.config import GatewayConfig
from serving.feedback_body import FeedbackCall, read_feedback_call
from serving.reply_ids import action_of
from serving.turn import TurnPorts
from streams.conversation import session_conversation
from streams.open_actions import OpenAction
from streams.topics import FEEDBACK

MAX_BODY_BYTES = 64 * 1024  # some ten pages of comment
MAX_PER_ANSWER = 100  # so that nobody fills the gateway's memory with one answer


class Feedback:
    """The endpoint."""

    def __init__(self, config: GatewayConfig, ports: TurnPorts) -> None:
        self._config = config
        self._ports = ports
        self._under_way: dict[str, tuple[str, asyncio.Task[None]]] = {}  # by event id; what each says

    async def give(self, request: Request) -> Response:
        """POST /v1/feedback."""
        tenant = tenant_of(request.headers, self._config.api_keys)
        self._ports.recording.admit()
        limit = min(MAX_BODY_BYTES, self._config.max_body_bytes)
        call = read_feedback_call(await read_body(request, limit))
        action = self._answer(tenant, call)
        event = self._event(action, call)
        is_repeated = self._said(event.id, action) is not None
        if event.id not in action.feedback:
            await self._keep_once(event, action)
        return JSONResponse(
            {
                "id": event.id,
                "object": "feedback",
                "action_id": action.action_id,
                "conversation_id": action.about.conversation_id,
                "thumb": thumb_of(event),
                "repeated": is_repeated,
            }
        )

    def _answer(self, tenant: str, call: FeedbackCall) -> OpenAction:
        """The answer that a call names.

        Raises:  ApiError: this tenant was never given it, or it is forgotten (404).
        """
        found = [each for each in self._candidates(tenant, call) if call.choice in {None, each.sibling}]
        if not found:
            choice = "" if call.choice is None else f", choice {call.choice},"
            message = (
                f"There is no answer with {call.target} {call.name[:100]!r}{choice} here; it was not given to you, or "
                f"longer than {self._config.max_open_age_s:g} s ago (gateway.max_open_age_s)."
            )
            raise ApiError(message, status=HTTPStatus.NOT_FOUND, param=call.target, code="answer_not_found")
        if len({each.sibling for each in found}) > 1:
            message = f"That request was answered with {len(found)} choices: say which one is meant in 'choice'."
            raise ApiError(message, param="choice")
        return found[-1]

    def _candidates(self, tenant: str, call: FeedbackCall) -> list[OpenAction]:
        """The tenant's answers that may be meant: those to one request."""
        index = self._ports.index
        match call.target:
            case "action_id":
                action = index.served(tenant, call.name) or index.served(tenant, tenants_id(tenant, call.name))
                return [] if action is None else [action]
            case "response_id":  # `chatcmpl-<request id>`, and so on: each API has a prefix of its own
                return index.known_by("request", tenant, action_of(call.name))
            case "conversation_id":
                return self._last(tenant, call.name) or self._last(tenant, unquote(call.name))  # as the header has it
            case "session_id":
                return self._last(tenant, session_conversation(tenant, call.name))

    def _last(self, tenant: str, conversation_id: str) -> list[OpenAction]:
        """The newest answer of a conversation, with its siblings; a client's side turns are nobody's answer."""
        actions = self._ports.index.known_by("conversation", tenant, conversation_id)
        last = next((each for each in reversed(actions) if each.turn_type == "main"), None)
        if last is None:
            return []
        # One that was observed elsewhere has no request here, and no siblings.
        return self._ports.index.known_by("request", tenant, last.request_id) if last.request_id else [last]

    def _event(self, action: OpenAction, call: FeedbackCall) -> FeedbackGiven:
        """The event, under the id of an earlier one that it repeats.

        Raises:  ApiError: the client's id has been used for other feedback (409), or there is too much already (429).
        """
        about = action.about
        event = FeedbackGiven(
            id="",
            **context_at(about, self._ports.now_ms(), source=about.source, subject=call.subject),
            action_id=action.action_id,
            thumb=call.thumb,
            rating=call.rating,
            worst_rating=call.worst_rating,
            best_rating=call.best_rating,
            comment=call.comment,
        )
        said = digest_said(event)
        newest_id, newest = next(reversed(action.feedback.items()), ("", ""))
        if call.id is None and said == newest:
            return replace(event, id=newest_id)
        told = ("id", call.id) if call.id is not None else ("said", said, newest_id)
        event = replace(event, id=digest_text("feedback", action.action_id, *told))
        if self._said(event.id, action) not in {None, said}:
            message = f"The id {str(call.id)[:100]!r} has been used for other feedback on this answer; take a new one."
            raise ApiError(message, status=HTTPStatus.CONFLICT, param="id", code="id_used")
        if event.id not in action.feedback and len(action.feedback) >= MAX_PER_ANSWER:
            message = f"This answer has been given feedback {MAX_PER_ANSWER} times; that is enough."
            raise ApiError(message, status=HTTPStatus.TOO_MANY_REQUESTS, code="too_much_feedback")
        return event

    def _said(self, event_id: str, action: OpenAction) -> str | None:
        """The digest of what is said under an id, recorded or about to be; None: nothing is."""
        return action.feedback.get(event_id) or self._under_way.get(event_id, (None, None))[0]

    async def _keep_once(self, event: FeedbackGiven, action: OpenAction) -> None:
        """Record an event; of two requests that say it at the same moment the second waits for the first."""
        if event.id not in self._under_way:
            keeping = asyncio.create_task(self._keep(event, action))
            keeping.add_done_callback(lambda _: self._under_way.pop(event.id))
            self._under_way[event.id] = (digest_said(event), keeping)
        await asyncio.shield(self._under_way[event.id][1])  # a client that leaves does not take it back

    async def _keep(self, event: FeedbackGiven, action: OpenAction) -> None:
        await self._ports.recording.must_keep(FEEDBACK, event)
        action.note(event)
