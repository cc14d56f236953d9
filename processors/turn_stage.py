"""`TurnStage`: joins, builds and accounts for turns, durably.

Consumes `actions`, `next-states`, `feedback`, `verdicts`, `hints`; produces `transitions`, `samples`, `skips`,
`rejections`.
Also the sweeper: `end_overdue` publishes `ended` for actions that nothing has followed for too long. It changes no
table: like everybody else's, its next states take effect when they are read.
"""

import asyncio
from collections.abc import Sequence

from processors.advance import Rules, apply
from processors.config import ProcessorsConfig
from processors.emit import Emission
from processors.open_turns import OpenTurns
from processors.ports import Renderer
from processors.stage import Emits
from processors.turns import Draft, forget
from schemas.clock import writable_ms
from schemas.context import context_of
from schemas.events import ActionTaken, NextStateObserved
from schemas.identity import derived_id
from streams.recorded import Recorded
from streams.topics import ACTIONS, FEEDBACK, HINTS, NEXT_STATES, VERDICTS

READS = (ACTIONS, NEXT_STATES, FEEDBACK, VERDICTS, HINTS)  # their partitions hold the same conversations
SWEEP_VERSION = "1"


def ended(action: ActionTaken, timeout_ms: int) -> NextStateObserved:
    """The next state of an action that nothing followed in time."""
    context = context_of(action)
    context["time_ms"] = writable_ms(context["time_ms"] + timeout_ms)  # its producer's clock may say anything
    return NextStateObserved(
        id=derived_id("sweep", SWEEP_VERSION, (action.id,)),
        action_id=action.id,
        kind="ended",
        ended_reason="timeout",
        **context,
    )


class TurnStage:
    """Keeps open turns and advances them (a `Stage`)."""

    def __init__(
        self,
        config: ProcessorsConfig,
        renderer: Renderer,
        turns: OpenTurns,
        emitter: Emits,
    ) -> None:
        self._config = config
        self._rules = Rules(renderer=renderer, ambiguous_trains=config.ambiguous_trains)
        self._turns = turns
        self._emitter = emitter
        self._is_loaded = False
        self._ended: set[str] = set()  # published, not necessarily read yet

    async def handle(self, records: Sequence[Recorded]) -> Sequence[Recorded]:
        """Apply all records, then make what changed durable."""
        await self._load()
        if not records:
            return records
        draft = await asyncio.to_thread(self._apply, records)  # renders prompts, which takes a while
        await self._turns.save(draft.decisions())
        await self._emitter.emit(draft.emissions)
        await self._turns.save(draft)
        await self._make_room(records[-1])
        return records

    def reset(self) -> None:
        """Read the tables again before the next record."""
        self._is_loaded = False

    async def end_overdue(self) -> None:
        """Publish `ended` for actions that have waited too long; once each."""
        if not self._is_loaded:
            return
        timeout_s = self._config.next_state_timeout_s
        waiting = self._turns.unanswered(timeout_s)
        self._ended &= {action.id for action in waiting}
        new = [action for action in waiting if action.id not in self._ended]
        await self._emitter.emit([Emission(event=ended(action, int(timeout_s * 1000))) for action in new])
        self._ended.update(action.id for action in new)

    async def _load(self) -> None:
        if not self._is_loaded:
            await asyncio.to_thread(self._turns.load)
            self._is_loaded = True

    def _apply(self, records: Sequence[Recorded]) -> Draft:
        draft = Draft(self._turns)
        for record in records:
            draft.merge(apply(draft, record, self._rules))
        return draft

    async def _make_room(self, record: Recorded) -> None:
        limits = self._config
        excess = list(self._turns.excess(max_bytes=limits.max_open_bytes, max_age_s=limits.max_open_age_s))
        if not excess:
            return
        why = (
            f"it was forgotten after {limits.max_open_age_s:g} s, or because open turns took more than "
            f"{limits.max_open_bytes} bytes (processors.max_open_age_s, processors.max_open_bytes)"
        )
        draft = Draft(self._turns)
        for action_id in excess:
            draft.merge(forget(draft, action_id, record, why))
        await self._emitter.emit(draft.emissions)
        await self._turns.save(draft)
