"""What the log says while the demo runs: counts per topic, the newest checkpoint, the version that serves."""

from collections import Counter
from dataclasses import dataclass, field

from schemas import events as e
from streams import topics
from streams.config import KafkaConfig
from streams.consumer import follow

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
    topics.RELOADS,
    topics.REJECTIONS,
)


@dataclass(slots=True)
class Observed:
    """Running totals, read by the display."""

    events: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    hints: int = 0
    checkpoint: e.CheckpointPublished | None = None
    serving_version: int = 0
    batches: list[frozenset[str]] = field(default_factory=list)  # action ids of each
    accounted: set[str] = field(default_factory=set)  # action ids that the trainer has trained or skipped

    @property
    def waiting_for_judge(self) -> int:
        """Lag of the judge: transitions without a verdict yet."""
        return max(0, self.events["transitions"] - self.events["verdicts"])

    @property
    def waiting_for_training(self) -> int:
        """Lag of the trainer: sealed batches with a turn that it has neither trained nor skipped."""
        return sum(not actions <= self.accounted for actions in self.batches)

    @property
    def is_settled(self) -> bool:
        """Whether what the log holds has been judged, and the newest checkpoint serves."""
        newest = 0 if self.checkpoint is None else self.checkpoint.version
        return not self.waiting_for_judge and not self.waiting_for_training and self.serving_version == newest

    def see(self, event: e.Event, topic: str) -> None:
        """Count one event."""
        self.events[topic] += 1
        match event:
            case e.BatchSealed(action_ids=action_ids):
                self.batches.append(frozenset(action_ids))
            case e.TurnSkipped(stage="trainer", action_id=action_id):
                self.accounted.add(action_id)
            case e.VerdictReached(score=score):
                self.verdicts["abstained" if score is None else f"{score:+d}"] += 1
            case e.HintExtracted(hints=hints):
                self.hints += bool(hints)
            case e.CheckpointPublished():
                self.checkpoint = event
                self.accounted.update(event.action_ids)
            case e.PolicyLoaded(version=version):
                self.serving_version = max(self.serving_version, version)


async def watch(config: KafkaConfig, observed: Observed) -> None:
    """Follow the log into `observed` until cancelled."""
    seen: set[str] = set()
    async for recorded in follow(config, WATCHED, from_beginning=True):
        if recorded.event is not None and recorded.event.id not in seen:
            seen.add(recorded.event.id)
            observed.see(recorded.event, recorded.topic.removeprefix(config.topic_prefix))
