"""`Pump`: feeds one stage with what a consumer delivers, and gives back what the stage is done with.

Owns the records between consumer and stage. Consumes deliveries; unblocked by a delivery, or by `IDLE_S` without one,
so that a stage can also act on time; a consumer that is faster than the stage waits. A record is acknowledged only when
its stage has called it done, so that it is read again after a crash.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from processors.stage import Stage
from streams.recorded import Recorded

IDLE_S = 0.5
MAX_WAITING = 256  # records between consumer and stage, beyond those that the stage has

Place = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A record, and what tells the consumer that it need not be delivered again."""

    record: Recorded
    acknowledge: Callable[[], object]

    @property
    def place(self) -> Place:
        """Where the record lies."""
        return self.record.topic, self.record.partition, self.record.offset


class Pump:
    """One stage and its input."""

    def __init__(self, stage: Stage, max_records: int) -> None:
        self._stage = stage
        self._max_records = max_records  # most that the stage gets at once
        self._inbox: asyncio.Queue[Delivery] = asyncio.Queue(MAX_WAITING)
        self._taken: dict[Place, Delivery] = {}  # given to the stage, not done
        self._have_moved = False

    async def put(self, delivery: Delivery) -> None:
        """Take a delivery; waits while the stage is behind."""
        await self._inbox.put(delivery)

    def partitions_moved(self) -> None:
        """Drop everything: whatever is not acknowledged is delivered again, here or elsewhere."""
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._have_moved = True

    async def run(self) -> None:
        """Pump until cancelled, or until the stage fails for good."""
        while True:
            deliveries = await self._next()
            if self._have_moved:
                self._have_moved = False
                self._taken.clear()
                self._stage.reset()
            self._taken.update((delivery.place, delivery) for delivery in deliveries)
            for record in await self._stage.handle([delivery.record for delivery in deliveries]):
                done = self._taken.pop((record.topic, record.partition, record.offset), None)
                if done is not None and not self._have_moved:
                    done.acknowledge()

    async def _next(self) -> list[Delivery]:
        """What is there, after waiting a moment for the first."""
        try:
            deliveries = [await asyncio.wait_for(self._inbox.get(), IDLE_S)]
        except TimeoutError:
            return []
        while len(deliveries) < self._max_records and not self._inbox.empty():
            deliveries.append(self._inbox.get_nowait())
        return deliveries
