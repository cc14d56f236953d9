"""`bench_serve`: what the gateway costs: time to the first streamed token through it, and straight from SGLang.

Needs a running stack. Both sides are asked through the same SDK, in turns, with prompts of one shape that no cache
holds (each begins with a number of its own), so that neither profits from the other or from a quiet moment.
"""

import statistics
import time
from dataclasses import dataclass

import openai

from infra.run_file import RunState
from infra.secrets import client_key
from infra.settings import Settings
from schemas.errors import EngineUnavailableError

SIDE_TURN = {"X-Turn-Type": "side"}  # recorded, never trained
WARM_UP_ROUNDS = 2
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one side took, in milliseconds: medians, and the first token's 95th percentile."""

    first_token_ms: float
    first_token_p95_ms: float
    whole_answer_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeTable:
    """Both sides; `added_ms` is the median over the rounds of the difference in time to first token."""

    rounds: int
    max_tokens: int
    gateway: Side
    engine: Side
    added_ms: float
    first_token_ratio: float
    whole_answer_ratio: float


@dataclass(frozen=True, slots=True)
class _Timing:
    first_token_s: float
    whole_answer_s: float


async def bench_serve(settings: Settings, state: RunState, *, rounds: int, max_tokens: int) -> ServeTable:
    """Time `rounds` answers of `max_tokens` tokens from each side.

    Raises:  EngineUnavailableError: a request failed.
    """
    gateway_key = client_key() or "none"
    gateway = openai.AsyncOpenAI(
        base_url=f"{state.gateway_url}/v1", api_key=gateway_key, max_retries=0, timeout=TIMEOUT_S
    )
    engine_key = settings.engine.api_key or "none"
    engine = openai.AsyncOpenAI(
        base_url=f"{settings.engine.url}/v1", api_key=engine_key, max_retries=0, timeout=TIMEOUT_S
    )
    timings: dict[bool, list[_Timing]] = {True: [], False: []}
    try:
        engine_model = await _engine_model(engine)
        for number in range(-WARM_UP_ROUNDS, rounds):
            for through_gateway in (number % 2 == 0, number % 2 != 0):
                client, model = (gateway, settings.policy) if through_gateway else (engine, engine_model)
                timing = await _ask(client, model, f"{2 * number + through_gateway}", max_tokens)
                if number >= 0:
                    timings[through_gateway].append(timing)
    except openai.OpenAIError as error:
        raise EngineUnavailableError(f"A request of the benchmark failed: {error}") from error
    finally:
        await gateway.close()
        await engine.close()
    return _table(timings[True], timings[False], max_tokens)


async def _engine_model(engine: openai.AsyncOpenAI) -> str:
    """How SGLang's own API names what the gateway routes to: the base, or the adapter that was loaded last."""
    base, *adapters = [model.id async for model in engine.models.list()]
    return f"{base}:{adapters[-1]}" if adapters else base


async def _ask(client: openai.AsyncOpenAI, model: str, name: str, max_tokens: int) -> _Timing:
    started_s = time.perf_counter()
    first_s: float | None = None
    stream = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": f"{name}. How can I sleep better when it is hot outside?"}],
        temperature=0.7,
        max_tokens=max_tokens,
        stream=True,
        extra_headers=SIDE_TURN,
    )
    async for chunk in stream:
        if first_s is None and chunk.choices and chunk.choices[0].delta.content:
            first_s = time.perf_counter()
    ended_s = time.perf_counter()
    return _Timing((first_s or ended_s) - started_s, ended_s - started_s)


def _table(gateway: list[_Timing], engine: list[_Timing], max_tokens: int) -> ServeTable:
    ours, bare = _side(gateway), _side(engine)
    differences = [mine.first_token_s - theirs.first_token_s for mine, theirs in zip(gateway, engine, strict=True)]
    return ServeTable(
        rounds=len(gateway),
        max_tokens=max_tokens,
        gateway=ours,
        engine=bare,
        added_ms=1000 * statistics.median(differences),
        first_token_ratio=ours.first_token_ms / bare.first_token_ms,
        whole_answer_ratio=ours.whole_answer_ms / bare.whole_answer_ms,
    )


def _side(timings: list[_Timing]) -> Side:
    firsts = sorted(1000 * timing.first_token_s for timing in timings)
    return Side(
        first_token_ms=statistics.median(firsts),
        first_token_p95_ms=firsts[min(len(firsts) - 1, int(0.95 * len(firsts)))],
        whole_answer_ms=statistics.median(1000 * timing.whole_answer_s for timing in timings),
    )
