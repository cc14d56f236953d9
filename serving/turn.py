"""`Turn`: one request on its way through the engine and into the log.

Runs apart from the HTTP response, so that a client that leaves cannot stop the recording of what was drawn:

    request ──► Turn.run ──► per choice: draw ──► record action ──► open it for matching
                    │              │ TextAdded          │ ChoiceFinished, or ChoiceFailed
                    └── queue ─────┴────────────────────┘──► response (serving/streaming.py)

Consumes engine chunks. Produces, in this order per choice: text while it is drawn; then, once the request's next state
and the action are safe, the finish. Unblocked by: the recorder.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.errors import NextstateError, SpoolFullError
from schemas.events import ActionTaken
from serving.drawing import Drawing, Engine, NewTokens
from serving.engine import GenerateRequest
from serving.facts import TurnFacts, action_taken, sampling_of, session_ended, whole_action
from serving.metrics import GatewayMetrics
from serving.recording import Recording
from serving.reply_text import ReplyParser
from serving.token_text import Token
from streams.conversation import ConversationIndex
from streams.late import late_next_state
from streams.topics import ACTIONS, NEXT_STATES

_LOGGER = logging.getLogger(__name__)


class TurnRenderer(ReplyParser, Protocol):
    """What `serving.rendering.ChatRenderer` does for a turn."""

    def token(self, token_id: int) -> Token:
        """What one token adds to a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """One token, its log-probability (nats), and, of one that was drawn, its most likely rivals."""

    token: Token
    logprob: float
    top: "tuple[TokenLogprob, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAdded:
    """A choice has grown. `text` may be empty while a tool call is held back."""

    index: int
    text: str
    logprobs: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceFinished:
    """A choice is drawn, and its action safe.

    `rest` is text that was held back, `logprobs` are those of all tokens; `stop_sequence` ended it, where one did.
    """

    index: int
    rest: str
    action: ActionTaken
    logprobs: tuple[TokenLogprob, ...]
    recorded: bool
    cached_tokens: int
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceFailed:
    """A choice has no finish, and why."""

    index: int
    error: BaseException


TurnEvent = TextAdded | ChoiceFinished | ChoiceFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPorts:
    """What turns of one gateway share."""

    engine: Engine
    renderer: TurnRenderer
    recording: Recording
    index: ConversationIndex
    metrics: GatewayMetrics
    now_ms: Callable[[], int]
    engine_patience_s: float


class Turn:
    """One request.

    Args:    facts: what is known before drawing; observed: done when the request's next state is safe.
    """

    def __init__(self, facts: TurnFacts, ports: TurnPorts, observed: "asyncio.Task[bool]") -> None:
        self.facts = facts
        self._ports = ports
        self._observed = observed
        self._events: asyncio.Queue[TurnEvent] = asyncio.Queue()
        self._left = asyncio.Event()
        self._arrived_s: float | None = time.monotonic()  # until the first token

    async def run(self) -> None:
        """Draw and record all choices. Never raises for what a choice runs into: that is a `ChoiceFailed`."""
        await asyncio.gather(*(self._choice(sibling) for sibling in range(self.facts.call.num_choices)))
        await asyncio.wait({self._observed})

    def leave(self) -> None:
        """The client is gone, or has all it wants: what is still drawn is stopped, and recorded as aborted."""
        self._left.set()

    async def next_event(self) -> TurnEvent:
        """The next thing to tell the client."""
        return await self._events.get()

    async def _choice(self, sibling: int) -> None:
        parser = self._ports.renderer if self.facts.call.offers_tools else None
        drawing = Drawing(parser, text_is_sent=self.facts.call.stream)
        try:
            error = await self._draw(drawing, sibling)
            if error is None or drawing.ids:
                finished = await self._record(drawing, sibling, error)
            event = finished if error is None else ChoiceFailed(index=sibling, error=error)
        except NextstateError as failure:
            event = ChoiceFailed(index=sibling, error=failure)
        except Exception as failure:
            _LOGGER.exception("request %s failed", self.facts.request_id)
            event = ChoiceFailed(index=sibling, error=failure)
        self._events.put_nowait(event)

    async def _draw(self, drawing: Drawing, sibling: int) -> Exception | None:
        """Draw until the end, an error (returned), or the client's leaving."""

        def listen(new: NewTokens) -> None:
            if self._arrived_s is not None:
                self._ports.metrics.first_token_s.observe(time.monotonic() - self._arrived_s)
                self._arrived_s = None
            logprobs = self._token_logprobs(drawing, new.start, new.end)
            self._events.put_nowait(TextAdded(index=sibling, text=new.text, logprobs=logprobs))

        request, patience_s = self._request(sibling), self._ports.engine_patience_s
        work = asyncio.create_task(drawing.draw(self._ports.engine, request, patience_s, listen))
        leaving = asyncio.create_task(self._left.wait())
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        work.cancel()  # without effect where it is done
        try:
            await work
        except asyncio.CancelledError:
            drawing.finish_reason = "aborted"
        except Exception as error:  # what was drawn before it is recorded, whatever it is
            if not isinstance(error, NextstateError):
                _LOGGER.exception("request %s failed", self.facts.request_id)
            return error
        return None

    async def _record(self, drawing: Drawing, sibling: int, error: Exception | None) -> ChoiceFinished:
        ports, held_from_s = self._ports, time.monotonic()
        reason = "error" if error else drawing.finish_reason or "error"
        rest, drawn = drawing.drawn(self.facts.action_ids[sibling], reason)
        action = action_taken(self.facts, sibling, drawn, ports.now_ms())
        recorded = await self._observed
        recorded = await ports.recording.keep(ACTIONS, action) and recorded
        if recorded and not ports.index.add(action):  # its base was forgotten while it was drawn
            ports.index.add(whole_action(self.facts, action))
        if self.facts.match.unknown_reply:
            await self._tell_late(action)
        if self.facts.session.done:
            await ports.recording.keep(NEXT_STATES, session_ended(action))
        ports.metrics.finish_held_s.observe(time.monotonic() - held_from_s)
        ports.metrics.actions.labels(action.finish_reason).inc()
        return ChoiceFinished(
            index=sibling,
            rest=rest,
            action=action,
            logprobs=self._token_logprobs(drawing, 0, len(drawing.ids)),
            recorded=recorded,
            cached_tokens=drawing.cached_tokens,
            stop_sequence=drawing.stop_sequence,
        )

    async def _tell_late(self, action: ActionTaken) -> None:
        """What the request says of an answer that became known while it was drawn; if it is lost, a start finds it."""
        if late := late_next_state(action, self._ports.index):
            with contextlib.suppress(SpoolFullError):
                await self._ports.recording.keep(NEXT_STATES, late)

    def _request(self, sibling: int) -> GenerateRequest:
        call = self.facts.call
        return GenerateRequest(
            prompt_ids=self.facts.prompt_ids,
            sampling=sampling_of(call, sibling),
            adapter=self.facts.route.adapter,
            tenant=self.facts.tenant,
            json_schema=call.grammar.json_schema,
            regex=call.grammar.regex,
            logit_bias=call.logit_bias,
            num_top_logprobs=call.num_top_logprobs,
        )

    def _token_logprobs(self, drawing: Drawing, start: int, end: int) -> tuple[TokenLogprob, ...]:
        """Of the tokens that have a part in the text. A rival may be a special one, which would have ended it."""
        if not self.facts.call.logprobs:
            return ()
        token = self._ports.renderer.token
        rivals = drawing.top_logprobs[start:end] or [()] * (end - start)
        return tuple(
            TokenLogprob(
                token=drawn,
                logprob=logprob,
                top=tuple(TokenLogprob(token=token(id_), logprob=lp) for id_, lp in top),
            )
            for drawn, logprob, top in zip(
                map(token, drawing.ids[start:end]), drawing.logprobs[start:end], rivals, strict=True
            )
            if not drawn.is_special
        )
