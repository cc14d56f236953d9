"""`OpenTurns`: the turns that are not forgotten yet, in two durable tables, bounded in bytes and age.

Owns the tables' form and how much they may hold. Two, because an action is large and never changes, while what is known
of it is small and changes often: `actions` (action id -> ActionTaken) and `turns` (action id -> Turn).

Ages count by a clock that does not jump, from when this process first heard of a turn: neither a producer's clock nor
ours, set wrong or set right, makes turns old at once or keeps them young. Only of those that the tables hold at a
start, or that come from another worker, the wall clock has to say how old they are.

Consumes drafts, produces durable rows; unblocks the stage when a draft's last row is acknowledged.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from processors.turns import Draft, Turn
from schemas.clock import Clock, now_ms, steady_ms
from schemas.events import ActionTaken

_TURN = msgspec.json.Decoder(Turn)
_ACTION = msgspec.json.Decoder(ActionTaken)


class Table(Protocol):
    """A durable map. Rows are kept in the log partition that they are written with."""

    def get(self, key: str) -> bytes | None:
        """The value of a key."""

    def items(self) -> Iterable[tuple[str, bytes]]:
        """Every row."""

    async def put(self, partition: int, key: str, value: bytes | None) -> None:
        """Set a row, None deletes it; returns when that is durable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    since_ms: int  # by the steady clock
    partition: int
    num_bytes: int  # of the turn and its action
    awaits_next_state: bool


class OpenTurns:
    """What is known of open turns (`turns.Known`). `load` before the first use, and again when partitions move."""

    def __init__(self, actions: Table, turns: Table, *, clock: Clock = now_ms, steady: Clock = steady_ms) -> None:
        self._actions = actions
        self._turns = turns
        self._clock = clock
        self._steady = steady
        self._index: dict[str, _Entry] = {}  # oldest first
        self.num_bytes = 0

    def load(self) -> None:
        """Index what the tables hold."""
        known, steady_now, wall_now = self._index, self._steady(), self._clock()
        self._index, self.num_bytes = {}, 0
        turns = {key: _TURN.decode(value) for key, value in self._turns.items()}
        since_ms = {
            key: known[key].since_ms if key in known else steady_now - max(0, wall_now - turn.since_ms)
            for key, turn in turns.items()
        }
        for action_id, turn in sorted(turns.items(), key=lambda row: (since_ms[row[0]], row[1].since_ms)):
            self._note(action_id, turn, since_ms[action_id])

    def turn(self, action_id: str) -> Turn | None:
        """A turn by the id of its action."""
        value = self._turns.get(action_id)
        return None if value is None else _TURN.decode(value)

    def action(self, action_id: str) -> ActionTaken | None:
        """A recorded action."""
        value = self._actions.get(action_id)
        return None if value is None else _ACTION.decode(value)

    async def save(self, draft: Draft) -> None:
        """Make a draft durable: actions first, so that a turn never says that an action is there which is not."""
        await asyncio.gather(*(self._put(self._actions, key, row, draft) for key, row in draft.actions.items()))
        await asyncio.gather(*(self._put(self._turns, key, row, draft) for key, row in draft.turns.items()))
        steady_now = self._steady()
        for action_id, turn in draft.turns.items():
            self._note(action_id, turn, self._index[action_id].since_ms if action_id in self._index else steady_now)

    def excess(self, *, max_bytes: int, max_age_s: float) -> Iterator[str]:
        """Turns to forget, oldest first: those that are too old, and as many as take too many bytes."""
        left_bytes, before_ms = self.num_bytes, self._before_ms(max_age_s)
        for action_id, entry in self._index.items():
            if entry.since_ms >= before_ms and left_bytes <= max_bytes:
                return
            left_bytes -= entry.num_bytes
            yield action_id

    def unanswered(self, max_age_s: float) -> list[ActionTaken]:
        """Actions that nothing has followed for longer."""
        before_ms = self._before_ms(max_age_s)
        waiting = [key for key, entry in self._index.items() if entry.awaits_next_state and entry.since_ms < before_ms]
        return [action for action in map(self.action, waiting) if action is not None]

    def _before_ms(self, age_s: float) -> int:
        return self._steady() - int(age_s * 1000)

    async def _put(self, table: Table, action_id: str, row: Turn | ActionTaken | None, draft: Draft) -> None:
        turn = draft.turns.get(action_id)
        partition = self._index[action_id].partition if turn is None else turn.partition
        await table.put(partition, action_id, None if row is None else msgspec.json.encode(row))

    def _note(self, action_id: str, turn: Turn | None, since_ms: int) -> None:
        known = self._index.get(action_id)
        self.num_bytes -= known.num_bytes if known else 0
        if turn is None:
            self._index.pop(action_id, None)
            return
        num_bytes = sum(len(table.get(action_id) or b"") for table in (self._actions, self._turns))
        self.num_bytes += num_bytes
        self._index[action_id] = _Entry(
            since_ms=since_ms,
            partition=turn.partition,
            num_bytes=num_bytes,
            awaits_next_state=turn.awaits_next_state,
        )
