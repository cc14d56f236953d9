"""`measure`: what a version's answers to held-out questions are like, beside those that serve now and the base model.

Consumes an engine that has the version under a name which nobody is routed to; produces `Measurement`. Each question is
answered once, at temperature 1, where a version draws from exactly its own distribution. The same tokens are then
scored under the version that serves and under the base model, so each divergence is a plain mean over tokens:

    KL(new || old) = E [log new(token) - log old(token)],   token drawn from new

An estimate: over 8 answers of 32 tokens its standard error is some hundredths of a nat. Legend: T tokens of one answer.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import Protocol

from schemas.errors import TokenMismatchError
from schemas.events import Message, Sampling
from serving.held_out import HeldOut
from serving.repetition import repeated_share
from serving.sglang_wire import EngineChunk, GenerateRequest


class Speaker(Protocol):
    """What `SGLangEngine` does for a measurement."""

    def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:
        """Draws an answer."""

    async def score(
        self, prompt_ids: tuple[int, ...], response_ids: tuple[int, ...], adapter: str | None
    ) -> tuple[float, ...]:
        """[T] log-probs of tokens that are there already, at temperature 1."""


class Renderer(Protocol):
    """What `ChatRenderer` does for a measurement."""

    def render(self, messages: Sequence[Message], tools: str, template_arguments: str) -> tuple[int, ...]:
        """Token ids of a prompt."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of some tokens, without special ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Means over all answers, or all their tokens."""

    kl: float  # nats per token, to the version that serves
    kl_base: float  # the same, to the base model
    entropy: float  # nats per token
    repeated: float  # share of 4-grams that stood in the same answer before
    tokens: float  # length of an answer
    compliance: float | None  # share of answers that are as wanted; None: nobody said what is

    def metrics(self) -> dict[str, float]:
        """By name, as the gate's events have them; what is not known is left out."""
        known = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is measured, and with what."""

    engine: Speaker
    renderer: Renderer
    adapter: str
    serving: str | None
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """One answer under the version, the one that serves and the base model."""

    held_out: HeldOut
    ids: tuple[int, ...]  # [T]
    own: tuple[float, ...]  # [T] nats
    serving: tuple[float, ...]  # [T] nats
    base: tuple[float, ...]  # [T] nats


async def measure(
    engine: Speaker,
    renderer: Renderer,
    questions: Sequence[HeldOut],
    *,
    adapter: str,
    serving: str | None,
    num_tokens: int,
) -> Measurement:
    """Asks all questions at once.

    Args:    adapter: the version's name in the engine; serving: that of the version to compare with, None: the base
             model; num_tokens: longest answer.
    Raises:  as the engine's `generate`; TokenMismatchError: its answers have no log-probs that are numbers.
    """
    subject = _Subject(engine=engine, renderer=renderer, adapter=adapter, serving=serving, num_tokens=num_tokens)
    answers = await asyncio.gather(*(_ask(subject, one, seed) for seed, one in enumerate(questions)))
    own = list(chain.from_iterable(answer.own for answer in answers))
    judged = [answer for answer in answers if answer.held_out.wanted is not None]
    return Measurement(
        kl=_mean_difference(own, chain.from_iterable(answer.serving for answer in answers)),
        kl_base=_mean_difference(own, chain.from_iterable(answer.base for answer in answers)),
        entropy=-fmean(own),
        repeated=fmean(repeated_share(answer.ids) for answer in answers),
        tokens=fmean(len(answer.ids) for answer in answers),
        compliance=fmean(_complies(renderer, answer) for answer in judged) if judged else None,
    )


async def _ask(subject: _Subject, held_out: HeldOut, seed: int) -> _Answer:
    engine, adapter = subject.engine, subject.adapter
    prompt = subject.renderer.render((Message(role="user", content=held_out.question),), "[]", "{}")
    sampling = Sampling(temperature=1.0, max_tokens=subject.num_tokens, seed=seed)
    request = GenerateRequest(prompt_ids=prompt, sampling=sampling, adapter=adapter)
    chunks = [chunk async for chunk in engine.generate(request)]
    ids = tuple(chain.from_iterable(chunk.ids for chunk in chunks))
    if not ids:
        raise TokenMismatchError(f"{adapter} answers {held_out.question!r} with nothing at all.")
    own = tuple(chain.from_iterable(chunk.logprobs for chunk in chunks))
    base = await engine.score(prompt, ids, None)
    other = base if subject.serving is None else await engine.score(prompt, ids, subject.serving)
    if not all(map(math.isfinite, (*own, *base, *other))):
        raise TokenMismatchError(f"{adapter} answers {held_out.question!r} with log-probs that are not numbers.")
    return _Answer(held_out=held_out, ids=ids, own=own, serving=other, base=base)


def _mean_difference(own: Sequence[float], other: chain[float]) -> float:
    return fmean(new - old for new, old in zip(own, other, strict=True))


def _complies(renderer: Renderer, answer: _Answer) -> bool:
    assert answer.held_out.wanted is not None
    return answer.held_out.wanted.search(renderer.decode(answer.ids)) is not None
