"""`Decoder`: draws several replies in lockstep: one forward pass gives each of them its next token.

Owns what it has read lately: a prompt that goes on where an earlier reply ended (the next turn of a conversation) costs
its new tokens only, as long as the weights are the same. Each reply has a random source of its own, so that it does not
depend on its company, except for rounding.

Legend: as in llama.py; a row is a reply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from infra.experiment.llama import Cache, Llama, layers_of

MAX_HELD = 16  # conversations; some 18 MB each at 400 tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawRequest:
    """What to draw. A temperature of 0 takes the likeliest token; its log-probs are those of temperature 1."""

    prompt_ids: tuple[int, ...]
    temperature: float
    max_tokens: int
    seed: int


@dataclass(slots=True)
class Reply:
    """What was drawn, the end token included."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: Literal["stop", "length"] | None = None
    num_cached: int = 0  # prompt tokens that were not read again


@dataclass(frozen=True, slots=True)
class _Held:
    ids: tuple[int, ...]
    keys: Tensor  # [L, G, n, D] of these n tokens
    values: Tensor


class Decoder:
    """Draws from one model."""

    def __init__(self, model: Llama) -> None:
        self._model = model
        self._held: list[_Held] = []

    def take(self, adapter: Mapping[str, Tensor], scale: float) -> None:
        """Draw with this adapter from now on."""
        self._model.take(adapter, scale)
        self._held.clear()

    @torch.inference_mode()
    def draw(self, requests: Sequence[DrawRequest]) -> list[Reply]:
        """One reply per request, in order."""
        replies = [Reply() for _ in requests]
        sources = [torch.Generator().manual_seed(request.seed) for request in requests]
        logits, cache = self._read(requests, replies)
        while True:
            for row, (request, reply, source) in enumerate(zip(requests, replies, sources, strict=True)):
                if reply.finish_reason is None:
                    self._draw_one(logits[row], request, reply, source)
            if all(reply.finish_reason for reply in replies):
                break
            ids = torch.tensor([[reply.ids[-1]] for reply in replies])
            going_on = torch.tensor([[reply.finish_reason is None] for reply in replies])
            logits = self._model.next_logits(ids, going_on, cache)
        self._hold(requests, replies, cache)
        return replies

    def _draw_one(self, logits: Tensor, request: DrawRequest, reply: Reply, source: torch.Generator) -> None:
        logprobs = torch.log_softmax(logits / (request.temperature or 1.0), dim=-1)
        token = int(logprobs.argmax()) if request.temperature == 0 else _drawn(logprobs, source)
        reply.ids.append(token)
        reply.logprobs.append(float(logprobs[token]))
        if token in self._model.stop_ids:
            reply.finish_reason = "stop"
        elif len(reply.ids) == request.max_tokens:
            reply.finish_reason = "length"

    def _read(self, requests: Sequence[DrawRequest], replies: Sequence[Reply]) -> tuple[Tensor, Cache]:
        """Read the prompts: [B, V] logits behind them, and the cache that now holds them."""
        known = [self._best_held(request.prompt_ids) for request in requests]
        num_known = max(length for _, length in known)
        new = [request.prompt_ids[length:] for request, (_, length) in zip(requests, known, strict=True)]
        num_new = max(map(len, new))
        cache = self._model.cache(len(requests), num_known + num_new + max(one.max_tokens for one in requests))
        cache.num_used = num_known
        for row, (held, length) in enumerate(known):
            if held is not None:
                place = slice(num_known - length, num_known)
                cache.keys[:, row, :, place] = held.keys[:, :, :length]
                cache.values[:, row, :, place] = held.values[:, :, :length]
                cache.valid[row, place] = True
                replies[row].num_cached = length
        ids = torch.tensor([[0] * (num_new - len(ids)) + list(ids) for ids in new])
        is_token = torch.tensor([[place >= num_new - len(ids) for place in range(num_new)] for ids in new])
        return self._model.next_logits(ids, is_token, cache), cache

    def _best_held(self, prompt_ids: tuple[int, ...]) -> tuple[_Held | None, int]:
        """What shares the longest beginning with a prompt, and its length; one token is always left to read."""
        best: tuple[_Held | None, int] = (None, 0)
        for held in self._held:
            length = min(_num_shared(held.ids, prompt_ids), len(prompt_ids) - 1)
            if length > best[1]:
                best = (held, length)
        return best

    def _hold(self, requests: Sequence[DrawRequest], replies: Sequence[Reply], cache: Cache) -> None:
        for row, (request, reply) in enumerate(zip(requests, replies, strict=True)):
            ids = (*request.prompt_ids, *reply.ids[:-1])  # the last token was drawn, but not read
            self._held.append(_Held(ids, *layers_of(cache, row)))
        del self._held[:-MAX_HELD]


def _drawn(logprobs: Tensor, source: torch.Generator) -> int:
    """A token, by where a uniform number falls among the sums; torch.multinomial takes ten times as long."""
    sums = logprobs.double().exp().cumsum(0)
    place = torch.rand((), generator=source, dtype=torch.float64) * sums[-1]
    return min(int(torch.searchsorted(sums, place, right=True)), len(sums) - 1)


def _num_shared(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
