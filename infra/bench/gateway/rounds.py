"""`Rounds`: all sides are asked the same in turns; how long it took, and what processor time it cost."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from infra.bench.gateway.figures import Spent
from infra.bench.gateway.load import Caller, Name, Side, Talk, Timing
from infra.bench.gateway.script import NUM_TOKENS
from infra.bench.gateway.sides import Sides
from infra.bench.processor import machine_s, process_s

_SETTLE_S = 0.1  # what a side does behind its answers is its cost, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the engine answers."""

    first_token_s: float
    token_s: float

    @property
    def answer_s(self) -> float:
        """A whole answer, straight from the engine."""
        return self.first_token_s + (NUM_TOKENS - 1) * self.token_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One case, by side."""

    timings: dict[Name, list[Timing]] = field(default_factory=dict)
    spent: dict[Name, Spent] = field(default_factory=dict)

    def add(self, side: Name, timings: Sequence[Timing], spent: Spent) -> None:
        """One side's part of a round."""
        self.timings.setdefault(side, []).extend(timings)
        self.spent[side] = self.spent.get(side, Spent()) + spent


class Rounds:
    """Asks all sides through one client; no conversation is had twice."""

    def __init__(self, sides: Sides, client: Caller) -> None:
        self._sides = sides
        self._client = client
        self._num_talks = 0

    async def measure(self, talk: Talk, num_streams: int, num_rounds: int, pace: Pace) -> Measured:
        """One case: rounds that count, after one that does not."""
        measured = Measured()
        sides = list(self._sides)
        for number in range(1 + num_rounds):
            for place in range(len(sides)):
                side = sides[(number + place) % len(sides)]
                before = self._spent(side)
                timings = await self._round(side, talk, num_streams, pace)
                await asyncio.sleep(_SETTLE_S)
                if number:
                    measured.add(side.name, timings, self._spent(side) - before)
            self._num_talks += num_streams
        return measured

    async def _round(self, side: Side, talk: Talk, num_streams: int, pace: Pace) -> list[Timing]:
        """A conversation in each stream. They begin apart, within the time of an answer, as clients' do."""
        talks = [
            self._client.talk(side, talk, self._num_talks + stream, after_s=pace.answer_s * stream / num_streams)
            for stream in range(num_streams)
        ]
        return [timing for timings in await asyncio.gather(*talks) for timing in timings]

    def _spent(self, side: Side) -> Spent:
        kafka_pids = self._sides.kafka_pids if side.name == "gateway" else ()
        return Spent(
            own_s=sum(map(process_s, side.pids)),
            kafka_s=sum(map(process_s, kafka_pids)),
            machine_s=machine_s(),
            clock_s=time.perf_counter(),
        )
