"""`Chat`: the endpoint of every protocol, from the request to the response.

    admission ──► Wire.read ──► match ──► next state of the earlier action ──► recorder
                                  └────► render ──► Turn (draw, record, hold the finish) ──► Wire ──► response

Owns the turns that are under way. A request waits for the engine and for its own events to be safe, and for nothing
else: not for other requests, not for training.
"""

import asyncio
import string
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.errors import TokenMismatchError
from schemas.events import Message, Sampling
from schemas.identity import new_id
from serving.admission import SessionHeaders, read_body, route_for, session_headers, tenant_of
from serving.api_errors import ApiError
from serving.call import Call
from serving.config import GatewayConfig
from serving.facts import TurnFacts, next_state_observed
from serving.http_edge import EventStream, until_disconnected
from serving.model_folder import outside_vocabulary
from serving.protocols.reading import refuse_media
from serving.protocols.wire import Head, Wire
from serving.routing import Route, Routes
from serving.sglang_wire import NUM_RESERVED_TOKENS
from serving.streaming import finished_choices, first_event, streamed_reply
from serving.turn import Turn, TurnPorts, TurnRenderer
from streams.match import Match
from streams.topics import NEXT_STATES

T = TypeVar("T")
_HEADER_SAFE = string.punctuation.replace("%", "")
Endpoint = Callable[[Request], Awaitable[Response]]


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
    """Answers requests. The protocols differ in what they read and write, and in nothing between."""

    def __init__(self, config: GatewayConfig, ports: TurnPorts, routes: Routes, served: Served) -> None:
        self._config = config
        self._ports = ports
        self._routes = routes
        self._served = served
        self._under_way: set[asyncio.Task[Any]] = set()
        self._turns: set[Turn] = set()

    def endpoint(self, wire: Wire) -> Endpoint:
        """A protocol's endpoint."""
        return partial(self._answer, wire)

    def token_counter(self, read: Callable[[bytes, GatewayConfig], Call]) -> Endpoint:
        """An endpoint that says how many tokens a prompt has. Nothing is drawn, matched or recorded."""
        return partial(self._count_tokens, read)

    async def settle(self, timeout_s: float) -> None:
        """Leave the turns under way, and wait until they are recorded as aborted."""
        for turn in self._turns:
            turn.leave()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)

    async def _answer(self, wire: Wire, request: Request) -> Response:
        request_id = request.state.request_id = new_id(self._ports.now_ms())
        tenant = tenant_of(request.headers, self._config.api_keys)
        will_record = self._ports.recording.admit()
        raw = await read_body(request, self._config.max_body_bytes)
        call = wire.read(raw, self._config, partial(self._ports.index.served, tenant))
        if call.grammar.forced:
            call = replace(call, grammar=await asyncio.to_thread(call.grammar.built))
        session = session_headers(request.headers)
        turn = await self._begin(request_id, tenant, call, session, route_for(call.model, self._routes))
        head = Head(
            action_ids=turn.facts.action_ids,
            created_s=self._ports.now_ms() // 1000,
            call=turn.facts.call,
            num_prompt_tokens=len(turn.facts.prompt_ids),
        )
        headers = {wire.request_id_header: request_id, **_headers(turn.facts)}
        if call.stream:
            event = await self._unless_left(request, turn, first_event(turn))
            parts = streamed_reply(turn, wire.stream(head), event)
            return EventStream(parts, headers | _recorded(is_recorded=will_record), on_end=turn.leave)
        choices = await self._unless_left(request, turn, finished_choices(turn))
        headers |= _recorded(is_recorded=all(choice.recorded for choice in choices))
        return JSONResponse(wire.whole(head, choices), headers=headers)

    async def _count_tokens(self, read: Callable[[bytes, GatewayConfig], Call], request: Request) -> Response:
        tenant_of(request.headers, self._config.api_keys)
        call = read(await read_body(request, self._config.max_body_bytes), self._config)
        route_for(call.model, self._routes)
        refuse_media(call)
        return JSONResponse({"input_tokens": len(await self._render(call))})

    async def _begin(self, request_id: str, tenant: str, call: Call, session: SessionHeaders, route: Route) -> Turn:
        """Match the request, record what it says about the action before it, render it, and start to draw."""
        match = self._ports.index.match(
            tenant=tenant,
            session_id=session.session_id,
            messages=call.messages,
            turn_type=session.turn_type,
            parent_action_id=call.parent_action_id,
        )
        self._ports.metrics.matches.labels(match.kind).inc()
        observed = self._spawn(self._observe(match, request_id, tenant, call.subject))
        try:
            refuse_media(call)
            prompt_ids = await self._render(call)
            sampling = self._fitted(call, len(prompt_ids))
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
            action_ids=(request_id, *(new_id(self._ports.now_ms()) for _ in range(1, call.num_choices))),
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

    async def _render(self, call: Call) -> tuple[int, ...]:
        render, limit = self._served.renderer.render, self._served.renderer.vocab_size
        ids = await asyncio.to_thread(render, call.messages, call.tools, call.template_arguments)
        if (wrong := outside_vocabulary(ids, limit)) is not None:
            message = f"The chat template gave token {wrong}, but the policy knows {limit} tokens only."
            raise TokenMismatchError(message)
        return ids

    def _fitted(self, call: Call, num_prompt_tokens: int) -> Sampling:
        """The sampling with a reply length that the context leaves room for.

        Raises:  ApiError: the prompt, or prompt and asked-for reply, are longer than the context.
        """
        room = self._served.context_length - num_prompt_tokens
        wanted = call.sampling.max_tokens
        is_too_long = wanted is not None and wanted > room and not call.reply_may_be_cut
        if room <= NUM_RESERVED_TOKENS or is_too_long:
            length = self._served.context_length
            message = (
                f"The context holds {length} tokens ({length - NUM_RESERVED_TOKENS - 1} of prompt), but the prompt has "
                f"{num_prompt_tokens}{f' and {wanted} are asked for' if is_too_long else ''}; shorten the messages "
                "or the reply."
            )
            raise ApiError(message, param=call.prompt_field, code="context_length_exceeded")
        return replace(call.sampling, max_tokens=min(wanted or self._config.default_max_tokens or room, room))

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


def _headers(facts: TurnFacts) -> dict[str, str]:
    """What a client may want to know of a turn: the ids to give feedback on, and who answered."""
    return {
        "x-conversation-id": quote(facts.match.conversation_id, safe=_HEADER_SAFE),  # a producer may name it anything
        "x-action-id": ",".join(facts.action_ids),
        "x-policy-version": str(facts.route.version),
    }


def _recorded(*, is_recorded: bool) -> dict[str, str]:
    return {} if is_recorded else {"x-recorded": "false"}
