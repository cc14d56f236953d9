"""`Pump`: feeds one stage with what a consumer delivers, and notes what the stage is done with.

Owns the records between consumer and stage, and their progress. Unblocked by a delivery, or by `IDLE_S` without one, so
that a stage can also act on time; a consumer that is faster than the stage waits.
"""

import asyncio

from processors.progress import Progress
from processors.stage import Stage
from streams.recorded import Recorded

IDLE_S = 0.5
MAX_WAITING = 256  # records between consumer and stage, beyond those that the stage has


class Pump:
    """One stage and its input."""

    def __init__(self, stage: Stage, max_records: int) -> None:
        self._stage = stage
        self._max_records = max_records  # most that the stage gets at once
        self._inbox: asyncio.Queue[tuple[int, Recorded]] = asyncio.Queue(MAX_WAITING)
        self._assignment = 0  # counts how often partitions have moved
        self.progress = Progress()

    async def put(self, record: Recorded) -> None:
        """Take a delivered record; waits while the stage is behind."""
        self.progress.deliver(record)
        await self._inbox.put((self._assignment, record))

    def partitions_moved(self) -> None:
        """Drop everything: whatever is not committed is delivered again, here or elsewhere."""
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self.progress.clear()
        self._assignment += 1

    async def run(self) -> None:
        """Pump until cancelled, or until the stage fails for good."""
        assignment = self._assignment
        while True:
            taken = await self._next()
            if assignment != self._assignment:
                assignment = self._assignment
                self._stage.reset()
            done = await self._stage.handle([record for number, record in taken if number == assignment])
            if assignment == self._assignment:
                for record in done:
                    self.progress.finish(record)

    async def _next(self) -> list[tuple[int, Recorded]]:
        """What is there, after waiting a moment for the first."""
        try:
            taken = [await asyncio.wait_for(self._inbox.get(), IDLE_S)]
        except TimeoutError:
            return []
        while len(taken) < self._max_records and not self._inbox.empty():
            taken.append(self._inbox.get_nowait())
        return taken
