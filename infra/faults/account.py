"""`accounted`: what a log shows when nobody talks any more and all that was due is done; `Account`: that as a row."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.faults.ledger import Ledger
from infra.faults.outcome import Outcome
from infra.faults.reckoning import Reckoning, reckon, settled
from schemas.events import ActionTaken
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import ACTIONS

SETTLED_WITHIN_S = 600.0
_TOLD = 3  # things that are lost, or done twice, which are named


@dataclass(frozen=True, slots=True)
class Account:
    """What was found of one ledger."""

    ledger: Ledger
    found: Reckoning
    is_settled: bool
    within_s: float  # how long was waited for that
    num_early: int  # actions that lie before the one that they answer

    def outcome(
        self,
        *,
        tried: int,
        recovery_s: Sequence[float] = (),
        lost: Sequence[str] = (),
        twice: Sequence[str] = (),
        wrong: Sequence[str] = (),
        note: str = "",
    ) -> Outcome:
        """The row, with what the fault itself has found lost, done twice or wrong, and has to say."""
        lost, twice = (*self.found.lost, *lost), (*self.found.twice, *twice)
        trained = f"{self.found.num_trained:,} trained on, in {self.found.num_versions} versions."
        talked = f"{len(self.ledger.acknowledged):,} replies, {trained}"
        told = (*(f"Lost: {one}." for one in lost[:_TOLD]), *(f"Twice: {one}." for one in twice[:_TOLD]))
        return Outcome(
            tried=tried,
            lost=len(lost),
            twice=len(twice),
            failed_requests=self.ledger.num_failed,
            recovery_s=tuple(recovery_s),
            wrong=(*wrong, *self._wrong(), *told),
            note=f"{talked} {note}".strip(),
        )

    def _wrong(self) -> list[str]:
        return [
            *([] if self.ledger.acknowledged else ["Nobody got an answer."]),
            *([] if self.is_settled else [f"What was due was not done within {self.within_s:g} s."]),
            *([f"{self.num_early} actions lie before the one that they answer."] if self.num_early else []),
            *self.found.wrong,
        ]


async def accounted(
    kafka: KafkaConfig, ledger: Ledger, archive: Path | None = None, within_s: float = SETTLED_WITHIN_S
) -> Account:
    """Waits until what is due is done, then holds the ledger against the log, and the log against its promises.

    Args:    archive: as `reckon`; within_s: how long what is due may take.
    """
    is_settled = await settled(kafka, ledger, within_s)
    found = await asyncio.to_thread(reckon, kafka, ledger, archive)
    return Account(ledger, found, is_settled, within_s, await asyncio.to_thread(_num_early, kafka))


def failures(ledger: Ledger) -> list[str]:
    """What is wrong where every request should have been answered."""
    errors = [one.error for one in ledger.requests if one.error is not None]
    return [f"{len(errors)} requests failed, the first with: {errors[0]}"] if errors else []


def _num_early(kafka: KafkaConfig) -> int:
    """A conversation is in one partition: there, an answer lies behind what it answers, whatever went by the spool."""
    seen: set[str] = set()
    early = set()
    for record in read_all(kafka, [ACTIONS]):
        if isinstance(action := record.event, ActionTaken):
            if action.parent_action_id is not None and {action.id, action.parent_action_id}.isdisjoint(seen):
                early.add(action.parent_action_id)
            seen.add(action.id)
    return len(early & seen)
