"""Everybody who talks at the same time is answered together, in an order that does not depend on who was faster."""

import asyncio

import pytest

from infra.experiment.decoder import Reply
from infra.experiment.engine import LockstepEngine
from schemas.events import Sampling
from serving.engine import GenerateRequest
from serving.errors import EngineRefusedError


class CountingDecoder:
    """Answers with the request's seed; remembers what it was asked together."""

    def __init__(self):
        self.drawn, self.taken = [], []

    def draw(self, requests):
        self.drawn.append([request.seed for request in requests])
        return [Reply(ids=[request.seed], logprobs=[-0.5], finish_reason="stop") for request in requests]

    def take(self, adapter, scale):
        self.taken.append((adapter, scale))


class Numbers:
    def decode(self, ids):
        return " ".join(map(str, ids))


@pytest.fixture
def decoder():
    return CountingDecoder()


@pytest.fixture
def engine(decoder):
    return LockstepEngine(decoder, Numbers(), scale=2.0)


def request(seed, adapter=None, **sampling):
    settings = {"temperature": 0.7, "max_tokens": 4, "seed": seed} | sampling
    return GenerateRequest(prompt_ids=(1, 2), sampling=Sampling(**settings), adapter=adapter)


async def ask(engine, *args, **sampling):
    chunks = [chunk async for chunk in engine.generate(request(*args, **sampling))]
    return "".join(chunk.text_delta for chunk in chunks)


async def test_nothing_is_drawn_until_all_who_talk_wait(engine, decoder):
    seats = [engine.join(), engine.join()]
    first = asyncio.create_task(ask(engine, 9))
    await asyncio.sleep(0.01)
    assert decoder.drawn == []
    assert await ask(engine, 4) == "4"
    assert await first == "9"
    assert decoder.drawn == [[4, 9]]
    del seats


async def test_who_leaves_is_not_waited_for(engine, decoder):
    staying, leaving = engine.join(), engine.join()
    waiting = asyncio.create_task(ask(engine, 9))
    await asyncio.sleep(0.01)
    with leaving:
        assert decoder.drawn == []
    assert await waiting == "9"
    with staying:
        pass


async def test_the_order_of_arrival_does_not_matter(engine, decoder):
    seats = [engine.join() for _ in range(3)]
    assert await asyncio.gather(*(ask(engine, seed) for seed in (7, 5, 6))) == ["7", "5", "6"]
    assert decoder.drawn == [[5, 6, 7]]
    del seats


async def test_a_loaded_adapter_is_the_only_one_that_answers(engine, decoder):
    engine.load("assistant@1", {"a": 1})
    assert decoder.taken == [({"a": 1}, 2.0)]
    assert await engine.loaded_adapters() == {"assistant@1"}
    assert await ask(engine, 3, "assistant@1") == "3"
    for other in (None, "assistant@0"):
        with pytest.raises(EngineRefusedError, match="is not loaded"):
            await ask(engine, 3, other)


@pytest.mark.parametrize("change", [{"top_p": 0.9}, {"stop": ("x",)}, {"max_tokens": None}, {"seed": None}])
async def test_what_it_cannot_draw_is_refused(engine, change):
    with pytest.raises(EngineRefusedError, match="no other options"):
        await ask(engine, change.pop("seed", 1), **change)
