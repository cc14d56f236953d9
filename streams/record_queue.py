"""`RecordQueue`: what a program has told its recorder and the worker has not read yet, bounded in items and in bytes.

    put (any thread) ──► told ──► weigh (the worker, every 50 ms) ──► weighed ──► take (the worker)

A program's own thread only counts items: to look at what they hold would take longer than all else that it does. So
bytes are bounded by the worker, whatever else it waits for. Owns both queues.
"""

import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

_OBJECT_BYTES = 64  # of a text, number or list, beside what is in it
_MOST_OBJECTS = 10_000  # of one item are looked at; a message has about ten


class Weighty(Protocol):
    """Something that may be large."""

    @property
    def bulk(self) -> Sequence[object]:
        """What it holds that may be large."""


W = TypeVar("W", bound=Weighty)


class RecordQueue(Generic[W]):
    """Args: max_items, max_bytes: more of them are not taken."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._told: deque[W] = deque()
        self._weighed: deque[tuple[int, W]] = deque()
        self._num_bytes = 0  # of what is weighed

    def __len__(self) -> int:
        return len(self._told) + len(self._weighed)

    def put(self, item: W) -> bool:
        """Add an item; False: there is no room. Safe for several threads."""
        if len(self._told) + len(self._weighed) >= self._max_items:
            return False
        self._told.append(item)
        return True

    def insert(self, item: W) -> None:
        """Add an item that holds nothing large, though there is no room. Safe for several threads."""
        self._told.append(item)

    def weigh(self) -> int:
        """See how much room the new items take; those that there is none for are dropped. Returns how many were."""
        num_dropped = 0
        while self._told:
            item = self._told.popleft()
            num_bytes = rough_bytes(item.bulk)
            if num_bytes and self._num_bytes + num_bytes > self._max_bytes:
                num_dropped += 1
            else:
                self._num_bytes += num_bytes
                self._weighed.append((num_bytes, item))
        return num_dropped

    def take(self, most: int) -> list[W]:
        """The oldest items that are weighed."""
        taken = [self._weighed.popleft() for _ in range(min(most, len(self._weighed)))]
        self._num_bytes -= sum(num_bytes for num_bytes, _ in taken)
        return [item for _, item in taken]

    def rest(self) -> list[W]:
        """What nobody has taken, oldest first."""
        return [*(item for _, item in tuple(self._weighed)), *tuple(self._told)]


def rough_bytes(values: Iterable[object]) -> int:
    """Room that values take, roughly: their texts and bytes, wherever they hold them."""
    left, num_bytes = list(values), 0
    for _ in range(_MOST_OBJECTS):
        if not left:
            break
        value = left.pop()
        num_bytes += _OBJECT_BYTES
        with contextlib.suppress(Exception):  # an object may answer as it likes
            if isinstance(value, str | bytes):
                num_bytes += len(value)
            else:
                left += _held_by(value)
    return num_bytes


def _held_by(value: object) -> Sequence[object]:
    match value:
        case dict():
            return tuple(value.values())  # at once: the program may change it meanwhile
        case list() | tuple():
            return value
        case _:
            return tuple(vars(value).values())
