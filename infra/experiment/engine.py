"""`LockstepEngine`: the gateway's engine, in this process; everybody who talks at the same time is answered together.

Owns the waiting requests. It draws once as many requests wait as people are talking (`join`), so what is drawn
together, and with it every rounding, is the same in each run. Consumes requests of the gateway, produces their chunks;
a request is unblocked by the others' requests, or by their leaving.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from infra.experiment.decoder import Decoder, DrawRequest, Reply
from schemas.events import Sampling
from serving.engine import EngineChunk, GenerateRequest
from serving.errors import EngineRefusedError

BAD_REQUEST = 400


class Speech(Protocol):
    """What turns tokens into text (`serving.rendering.ChatRenderer`)."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of some tokens."""


class Seat:
    """A place in the conversation; `with seat:` leaves it at the end. Take all seats before the first one speaks."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def __enter__(self) -> None:
        """Already seated."""

    def __exit__(self, *_: object) -> None:
        self._leave()


class LockstepEngine:
    """An engine (`serving.drawing.Engine`) on a decoder. Args: scale: alpha / rank of the adapters to come."""

    def __init__(self, decoder: Decoder, speech: Speech, *, scale: float) -> None:
        self._decoder = decoder
        self._speech = speech
        self._scale = scale
        self._adapter: str | None = None
        self._num_talking = 0
        self._waiting: list[tuple[GenerateRequest, asyncio.Future[Reply]]] = []

    def load(self, name: str, adapter: Mapping[str, Tensor]) -> None:
        """Draw with this adapter from now on; the one before is forgotten."""
        self._decoder.take(adapter, self._scale)
        self._adapter = name

    def join(self) -> "Seat":
        """Somebody talks from now on, until they leave the seat: nothing is drawn while they think."""
        self._num_talking += 1
        return Seat(self._leave)

    async def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:
        """A reply, in one chunk.

        Raises:  EngineRefusedError: it cannot draw like that, or not with that adapter.
        """
        self._check(request)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._draw_if_all_wait()
        reply = await future
        yield EngineChunk(
            text_delta=self._speech.decode(reply.ids),
            ids=tuple(reply.ids),
            logprobs=tuple(reply.logprobs),
            finish_reason=reply.finish_reason,
            cached_tokens=reply.num_cached,
        )

    async def loaded_adapters(self) -> set[str]:
        """The one adapter, if there is one."""
        return {self._adapter} if self._adapter else set()

    async def health(self) -> bool:
        """Always: it lives in this process."""
        return True

    def _check(self, request: GenerateRequest) -> None:
        sampling = request.sampling
        plain = Sampling(temperature=sampling.temperature, max_tokens=sampling.max_tokens, seed=sampling.seed)
        if sampling != plain or sampling.max_tokens is None or sampling.seed is None or request.num_top_logprobs:
            raise EngineRefusedError(
                BAD_REQUEST, "Here a request has max_tokens, seed and a temperature, no other options."
            )
        if request.adapter != self._adapter:
            raise EngineRefusedError(BAD_REQUEST, f"Adapter {request.adapter} is not loaded, but {self._adapter}.")

    def _leave(self) -> None:
        self._num_talking -= 1
        self._draw_if_all_wait()

    def _draw_if_all_wait(self) -> None:
        if not self._waiting or len(self._waiting) < self._num_talking:
            return
        # Their order here depends on threads of the gateway; their seeds do not.
        waiting = sorted(self._waiting, key=lambda one: one[0].sampling.seed or 0)
        self._waiting = []
        try:
            replies = self._decoder.draw([_draw_request(request) for request, _ in waiting])
        except BaseException as error:
            for _, future in waiting:
                future.set_exception(error)
            raise
        for (_, future), reply in zip(waiting, replies, strict=True):
            if not future.done():
                future.set_result(reply)


def _draw_request(request: GenerateRequest) -> DrawRequest:
    sampling = request.sampling
    return DrawRequest(
        prompt_ids=request.prompt_ids,
        temperature=sampling.temperature,
        max_tokens=sampling.max_tokens or 1,
        seed=sampling.seed or 0,
    )
