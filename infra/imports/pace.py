"""`Pace`: an import goes no faster than the processors judge, so that a large one does not crowd out live turns.

Processors take turns in faster than they judge them, and what they hold is bounded (`processors.max_open_bytes`): over
it the oldest turns are skipped, and those may be of people who are about to reply. Consumes their lag, unblocks when
it is small. Where nobody works it off, nobody is waited for.
"""

import asyncio
import math
import time
from collections.abc import Callable

MAX_LAG_RECORDS = 10_000  # of some kilobytes each: well below processors.max_open_bytes
EVERY_TURNS = 1_000  # how often it is looked at
STALLED_S = 30.0  # a lag that does not shrink for so long is nobody's work
LOOK_AGAIN_S = 1.0


class Pace:
    """Args: lag: records that the processors have still to read (blocking); report: told why nothing happens."""

    def __init__(
        self,
        lag: Callable[[], int],
        report: Callable[[str], None],
        *,
        stalled_s: float = STALLED_S,
        look_again_s: float = LOOK_AGAIN_S,
    ) -> None:
        self._lag = lag
        self._report = report
        self._stalled_s = stalled_s
        self._look_again_s = look_again_s
        self._num_turns = 0
        self._is_alone = False

    async def turn(self) -> None:
        """One more turn is recorded; waits where the processors are too far behind."""
        self._num_turns += 1
        if self._num_turns % EVERY_TURNS == 0 and not self._is_alone:
            await self._catch_up()

    async def _catch_up(self) -> None:
        least, since_s = math.inf, time.monotonic()
        while (lag := await asyncio.to_thread(self._lag)) > MAX_LAG_RECORDS:
            now_s = time.monotonic()
            if lag < least:
                self._report(f"waiting for the processors, which have {lag:,} records to read")
                least, since_s = lag, now_s
            elif now_s - since_s > self._stalled_s:
                self._report("the processors do not read; they will once nextstate up runs")
                self._is_alone = True
                return
            await asyncio.sleep(self._look_again_s)
