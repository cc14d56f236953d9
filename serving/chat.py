"""`Chat`: POST /v1/chat/completions, from the request to the response.

    admission ──► read ──► match ──► next state of the earlier action ──► recorder
                             └────► render ──► Turn (draw, record, hold the finish) ──► response

Owns the turns that are under way. A request waits for the engine and for its own events to be safe, and for nothing
else: not for other requests, not for training.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.errors import TokenMismatchError
from schemas.events import Message, Sampling
from schemas.identity import new_id
from serving.admission import SessionHeaders, read_body, route_for, session_headers, tenant_of
from serving.config import GatewayConfig
from serving.facts import TurnFacts, next_state_observed
from serving.http_edge import EventStream, until_disconnected
from serving.openai_chat import ChatCall, read_chat_call, refuse_media
from serving.openai_errors import ApiError
from serving.openai_reply import Envelope
from serving.routing import Route, Routes
from serving.sglang_wire import NUM_RESERVED_TOKENS
from serving.streaming import first_event, streamed_reply, whole_reply
from serving.turn import Turn, TurnPorts, TurnRenderer
from streams.conversation import Match
from streams.topics import NEXT_STATES

T = TypeVar("T")


class PromptRenderer(TurnRenderer, Protocol):
    """What `serving.rendering.ChatRenderer` does for the gateway."""

    template_digest: str
    vocab_size: int

    def render(self, messages: Sequence[Message], tools: str, template_arguments: str) -> tuple[int, ...]:
        """Token ids of the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What is served: the policy's renderer, its base model's name, and how many tokens a prompt and reply may have."""

    renderer: PromptRenderer
    base_model: str
    context_length: int


class Chat:
    """The endpoint."""

    def __init__(self, config: GatewayConfig, ports: TurnPorts, routes: Routes, served: Served) -> None:
        self._config = config
        self._ports = ports
        self._routes = routes
        self._served = served
        self._under_way: set[asyncio.Task[Any]] = set()
        self._turns: set[Turn] = set()

    async def completions(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        tenant = tenant_of(request.headers, self._config.api_keys)
        will_record = self._ports.recording.admit()
        call = read_chat_call(await read_body(request, self._config.max_body_bytes), self._config)
        session = session_headers(request.headers)
        turn = await self._begin(tenant, call, session, route_for(call.model, self._routes))
        created_s = self._ports.now_ms() // 1000
        envelope = Envelope(id=f"chatcmpl-{turn.facts.request_id}", created_s=created_s, model=call.model)
        if call.stream:
            event = await self._unless_left(request, turn, first_event(turn))
            headers = _headers(turn.facts, recorded=will_record)
            return EventStream(streamed_reply(turn, envelope, event), headers, on_end=turn.leave)
        reply, recorded = await self._unless_left(request, turn, whole_reply(turn, envelope))
        return JSONResponse(reply, headers=_headers(turn.facts, recorded=recorded))

    async def settle(self, timeout_s: float) -> None:
        """Leave the turns under way, and wait until they are recorded as aborted."""
        for turn in self._turns:
            turn.leave()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)

    async def _begin(self, tenant: str, call: ChatCall, session: SessionHeaders, route: Route) -> Turn:
        """Match the request, record what it says about the action before it, render it, and start to draw."""
        request_id = new_id(self._ports.now_ms())
        match = self._ports.index.match(
            tenant=tenant, session_id=session.session_id, messages=call.messages, turn_type=session.turn_type
        )
        self._ports.metrics.matches.labels(match.kind).inc()
        observed = self._spawn(self._observe(match, request_id, tenant, call.subject))
        try:
            refuse_media(call.messages)
            prompt_ids = await self._render(call)
            sampling = self._fitted(call.sampling, len(prompt_ids))
        except BaseException:
            await observed  # the next state is true, whatever becomes of this request
            raise
        facts = TurnFacts(
            request_id=request_id,
            tenant=tenant,
            session=session,
            call=replace(call, sampling=sampling),
            match=match,
            route=route,
            prompt_ids=prompt_ids,
            template_digest=self._served.renderer.template_digest,
            base_model=self._served.base_model,
            action_ids=tuple(new_id(self._ports.now_ms()) for _ in range(call.num_choices)),
        )
        turn = Turn(facts, self._ports, observed)
        self._turns.add(turn)
        self._spawn(turn.run()).add_done_callback(lambda _: self._turns.discard(turn))
        return turn

    async def _observe(self, match: Match, request_id: str, tenant: str, subject: str) -> bool:
        state = next_state_observed(
            match, request_id=request_id, tenant=tenant, subject=subject, now_ms=self._ports.now_ms()
        )
        return state is None or await self._ports.recording.keep(NEXT_STATES, state)

    async def _render(self, call: ChatCall) -> tuple[int, ...]:
        render, limit = self._served.renderer.render, self._served.renderer.vocab_size
        ids = await asyncio.to_thread(render, call.messages, call.tools, call.template_arguments)
        wrong = next((token for token in ids if not 0 <= token < limit), None)
        if wrong is not None:
            message = f"The chat template gave token {wrong}, but the policy knows {limit} tokens only."
            raise TokenMismatchError(message)
        return ids

    def _fitted(self, sampling: Sampling, num_prompt_tokens: int) -> Sampling:
        """The sampling with a reply length that the context leaves room for.

        Raises:  ApiError: the prompt, or prompt and asked-for reply, are longer than the context.
        """
        room = self._served.context_length - num_prompt_tokens
        wanted = sampling.max_tokens
        if room <= NUM_RESERVED_TOKENS or (wanted is not None and wanted > room):
            length = self._served.context_length
            message = (
                f"The context holds {length} tokens ({length - NUM_RESERVED_TOKENS - 1} of prompt), but the prompt has "
                f"{num_prompt_tokens}{'' if wanted is None else f' and {wanted} are asked for'}; shorten the messages "
                "or the reply."
            )
            raise ApiError(message, param="messages", code="context_length_exceeded")
        return replace(sampling, max_tokens=wanted or min(self._config.default_max_tokens or room, room))

    async def _unless_left(self, request: Request, turn: Turn, work: Coroutine[Any, Any, T]) -> T:
        """The result of some work on a turn; the turn is left where the work fails or the client goes away.

        Raises:  ApiError: the work failed; or the client is gone, and nobody will read it.
        """
        gone = asyncio.create_task(until_disconnected(request))
        waiting = asyncio.create_task(work)
        try:
            await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return await waiting
        except BaseException:
            turn.leave()
            raise
        finally:
            gone.cancel()
            waiting.cancel()
        turn.leave()
        raise ApiError("The client has left.", status=HTTPStatus.REQUEST_TIMEOUT, code="client_left")

    def _spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that outlives its request."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # seen: who awaited the task has dealt with it, and recording has logged it


def _headers(facts: TurnFacts, *, recorded: bool) -> dict[str, str]:
    """What a client may want to know of a turn: the ids to give feedback on, and who answered."""
    headers = {
        "x-conversation-id": facts.match.conversation_id,
        "x-action-id": ",".join(facts.action_ids),
        "x-policy-version": str(facts.route.version),
    }
    return headers if recorded else {**headers, "x-recorded": "false"}
