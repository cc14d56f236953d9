"""`Drawing`: one choice as it comes from the engine, with patience for an engine that is away.

Owns what was drawn so far. Consumes the engine's chunks; produces tokens for whoever listens and, at the end, `Drawn`.
As long as the client has seen nothing, a lost engine means starting over; after that, it is an error.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.errors import EngineUnavailableError, TokenMismatchError
from schemas.events import FinishReason
from serving.engine import EngineChunk, GenerateRequest
from serving.errors import EngineRefusedError
from serving.facts import Drawn
from serving.reply_text import ReplyParser, ReplyText

_LOGGER = logging.getLogger(__name__)
RETRY_PAUSE_S = 0.5


class Engine(Protocol):
    """What `serving.engine.SGLangEngine` does for the gateway."""

    def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:
        """Tokens as they are drawn; closing the iterator stops the engine."""

    async def loaded_adapters(self) -> set[str]:
        """Names of the adapters that the engine has."""

    async def health(self) -> bool:
        """Whether the engine answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTokens:
    """What one chunk adds: text that may be sent now, and where its tokens lie in the drawing."""

    text: str
    start: int
    end: int


class Drawing:
    """One choice.

    Args:    parser: where tools are offered; text_is_sent: whether a client sees text before the end (streaming).
    """

    def __init__(self, parser: ReplyParser | None, *, text_is_sent: bool) -> None:
        self._parser = parser
        self._text_is_sent = text_is_sent
        self._begin()

    def _begin(self) -> None:
        self.text = ReplyText(self._parser)
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.top_logprobs: list[tuple[tuple[int, float], ...]] = []
        self.finish_reason: FinishReason | None = None
        self.stop_sequence: str | None = None
        self.cached_tokens = 0

    async def draw(self, engine: Engine, request: GenerateRequest, patience_s: float, listen: "Listener") -> None:
        """Draw to the end, telling `listen` of each chunk.

        Raises:  EngineUnavailableError: away for longer than the patience, or after the client has seen text;
                 EngineRefusedError: the engine does not take this request; TokenMismatchError: tokens and
                 log-probabilities that do not fit.
        """
        deadline_s = time.monotonic() + patience_s
        while True:
            try:
                await self._draw_once(engine, request, listen)
            except (EngineUnavailableError, EngineRefusedError) as error:
                reason = await _passing_reason(engine, request, error)
                if reason is None:
                    raise
                if self._must_give_up(deadline_s):
                    raise EngineUnavailableError(reason) from error
                _LOGGER.warning("the engine is asked again: %s", reason)
            else:
                return
            self._begin()
            await asyncio.sleep(RETRY_PAUSE_S)

    def drawn(self, action_id: str, finish_reason: FinishReason) -> tuple[str, Drawn]:
        """The text that is left to send, and the whole choice, which is this action."""
        rest, reply = self.text.finish(action_id)
        if reply.tool_calls and finish_reason == "stop":
            finish_reason = "tool_calls"
        return rest, Drawn(
            reply=reply,
            response_ids=tuple(self.ids),
            response_logprobs=tuple(self.logprobs),
            finish_reason=finish_reason,
        )

    async def _draw_once(self, engine: Engine, request: GenerateRequest, listen: "Listener") -> None:
        async for chunk in engine.generate(request):
            if len(chunk.ids) != len(chunk.logprobs):
                message = f"The engine gave {len(chunk.logprobs)} log-probabilities for {len(chunk.ids)} tokens."
                raise TokenMismatchError(message)
            start = len(self.ids)
            self.ids += chunk.ids
            self.logprobs += chunk.logprobs
            self.top_logprobs += chunk.top_logprobs
            self.cached_tokens = chunk.cached_tokens
            self.finish_reason = chunk.finish_reason
            self.stop_sequence = chunk.stop_sequence
            listen(NewTokens(text=self.text.add(chunk.text_delta), start=start, end=len(self.ids)))
        if self.finish_reason in {None, "aborted", "error"}:
            raise EngineUnavailableError("The engine broke off in the middle of a reply; try again.")

    def _must_give_up(self, deadline_s: float) -> bool:
        return (self._text_is_sent and bool(self.ids)) or time.monotonic() > deadline_s


Listener = Callable[[NewTokens], None]


async def _passing_reason(
    engine: Engine, request: GenerateRequest, error: EngineUnavailableError | EngineRefusedError
) -> str | None:
    """Why asking again may help; None where it cannot.

    An engine that restarted has forgotten its adapters until the reloader has loaded them again. A refusal that names
    the adapter is believed: one that was loaded right after it would no longer be missing when the engine is asked.
    """
    if isinstance(error, EngineUnavailableError):
        return str(error)
    if request.adapter is None:
        return None
    try:
        missing = request.adapter in error.message or request.adapter not in await engine.loaded_adapters()
    except EngineUnavailableError as away:
        return str(away)
    return f"The engine has not loaded the adapter {request.adapter!r} yet; try again." if missing else None
