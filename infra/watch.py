"""`Observed`: what a log says while its stack runs: counts, the newest checkpoint, and what is still under way.

Consumes the log from its beginning (`watching`), in whatever order topics come; an event that comes twice counts once.
A turn is under way from the next state that it got until it is a sample or a skip; a sample until a version was trained
on it or the trainer has said why not; a version until an engine has taken it or the gate has refused it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from schemas import events as e
from streams import topics
from streams.config import KafkaConfig
from streams.consumer import follow
from streams.version_line import VersionLine

WATCHED = (
    topics.ACTIONS,
    topics.NEXT_STATES,
    topics.TRANSITIONS,
    topics.VERDICTS,
    topics.HINTS,
    topics.SAMPLES,
    topics.SKIPS,
    topics.BATCHES,
    topics.CHECKPOINTS,
    topics.PROMOTIONS,
    topics.RELOADS,
    topics.REJECTIONS,
)


@dataclass(slots=True)
class Observed:
    """Running totals. Args: batch_size: `processors.batch_size`; fewer samples wait for more to come."""

    batch_size: int
    events: Counter[str] = field(default_factory=Counter)  # by topic
    verdicts: Counter[str] = field(default_factory=Counter)
    hints: int = 0
    checkpoints: list[e.CheckpointPublished] = field(default_factory=list)
    line: VersionLine = field(default_factory=VersionLine)
    serving_version: int = 0
    batches: list[frozenset[str]] = field(default_factory=list)  # action ids of each
    # Action ids that ...
    answered: set[str] = field(default_factory=set)  # ... got a next state
    built: set[str] = field(default_factory=set)  # ... became a sample, or were skipped before
    sampled: set[str] = field(default_factory=set)  # ... became a sample
    packed: set[str] = field(default_factory=set)  # ... are in a batch, or were skipped on the way there
    trained: set[str] = field(default_factory=set)  # ... the trainer has trained, or skipped

    @property
    def checkpoint(self) -> e.CheckpointPublished | None:
        """The newest version."""
        return self.checkpoints[-1] if self.checkpoints else None

    @property
    def waiting_for_judge(self) -> int:
        """Lag of the judge: transitions without a verdict yet."""
        return max(0, self.events["transitions"] - self.events["verdicts"])

    @property
    def waiting_for_sample(self) -> int:
        """Lag of the processors: turns with a next state that are neither a sample nor a skip yet."""
        return len(self.answered - self.built)

    @property
    def waiting_for_batch(self) -> int:
        """Samples that are in no batch yet."""
        return len(self.sampled - self.packed)

    @property
    def waiting_for_training(self) -> int:
        """Lag of the trainer: sealed batches with a turn that it has neither trained nor skipped."""
        return sum(not actions <= self.trained for actions in self.batches)

    @property
    def is_settled(self) -> bool:
        """Whether all that the log holds has been learnt from as far as it can be, and serves as far as it may."""
        is_packed = self.waiting_for_batch < self.batch_size
        is_learnt = not self.waiting_for_sample and is_packed and not self.waiting_for_training
        return is_learnt and self.serving_version == self.line.head

    def see(self, event: e.Event, topic: str) -> None:
        """Count one event."""
        self.events[topic] += 1
        match event:
            case e.NextStateObserved(kind="messages", action_id=action_id):
                self.answered.add(action_id)
            case e.SampleBuilt(action_id=action_id):
                self.sampled.add(action_id)
                self.built.add(action_id)
            case e.TurnSkipped(action_id=action_id, stage=stage, reason=reason):
                self._skipped_at(stage, reason).add(action_id)
            case e.BatchSealed(action_ids=action_ids):
                self.batches.append(frozenset(action_ids))
                self.packed.update(action_ids)
            case e.VerdictReached(score=score):
                self.verdicts["abstained" if score is None else f"{score:+d}"] += 1
            case e.HintExtracted(hints=hints):
                self.hints += bool(hints)
            case e.CheckpointPublished():
                self.checkpoints.append(event)
                self.line.note(event)
                self.trained.update(event.action_ids)
            case e.PolicyPromoted() | e.PolicyRefused() | e.PolicyRolledBack():
                self.line.note(event)
            case e.PolicyLoaded(version=version):
                self.serving_version = max(self.serving_version, version)

    def _skipped_at(self, stage: str, reason: e.SkipReason) -> set[str]:
        """Which of the sets a skipped turn belongs to."""
        if reason == "branch":
            return set()  # it is about one more next state, and says nothing of the turn
        return {"trainer": self.trained, "pack": self.packed}.get(stage, self.built)


@contextlib.asynccontextmanager
async def watching(config: KafkaConfig, batch_size: int) -> AsyncIterator[Observed]:
    """What the log says, kept up to date until the end of the `async with`."""
    observed = Observed(batch_size)
    watcher = asyncio.create_task(_watch(config, observed))
    try:
        yield observed
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


async def _watch(config: KafkaConfig, observed: Observed) -> None:
    seen: set[str] = set()
    async for recorded in follow(config, WATCHED, from_beginning=True):
        if recorded.event is not None and recorded.event.id not in seen:
            seen.add(recorded.event.id)
            observed.see(recorded.event, recorded.topic.removeprefix(config.topic_prefix))
