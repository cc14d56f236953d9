"""Two clocks, and the times that can be written.

`now_ms` is the wall clock, in the unit that every event uses. It says when something was, also to other processes, and
may jump, either way and by any length. `steady_ms` never jumps, and says how long this process has waited.
"""

import time
from collections.abc import Callable

Clock = Callable[[], int]

_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # years 1 to 9999: `ce_time` has four digits for a year


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Milliseconds since some moment, the same for as long as the machine runs; they may stand while it sleeps."""
    return time.monotonic_ns() // 1_000_000


def writable_ms(time_ms: int) -> int:
    """The nearest time that an event can have."""
    return min(max(time_ms, _FIRST_MS), _LAST_MS)
