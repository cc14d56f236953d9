"""`History`: what was derived from a slice when it was recorded, small enough to hold for any slice.

Of each derived record only its digest and its place are kept; of verdicts and hints also what they say, because a
replay with the recorded judgements needs it; of batches which samples they hold. A derived event has a *slot*, what it
is about whatever its id: the same turn judged by other code is found by it.

Consumes every topic that processors write, once; produces a `History`.
"""

from collections import Counter
from dataclasses import dataclass, field

from infra.replay.slice import Read, Selection, Slice, choose, take
from infra.replay.spans import Spans
from infra.replay.telling import Behind
from processors import assess, build, join, pack
from processors.turns import accounts_for_forgotten
from schemas.events import (
    BatchSealed,
    CheckpointPublished,
    Event,
    EventRejected,
    HintExtracted,
    SampleBuilt,
    TransitionJoined,
    TurnSkipped,
    VerdictReached,
)
from streams.recorded import Recorded
from streams.stamp import content_digest
from streams.topics import BATCHES, CHECKPOINTS, HINTS, REJECTIONS, SAMPLES, SKIPS, TRANSITIONS, VERDICTS

DERIVED = (TRANSITIONS, VERDICTS, HINTS, SAMPLES, SKIPS, REJECTIONS, BATCHES)
STAGES = {join.STAGE, assess.STAGE, build.STAGE, pack.STAGE, "emit"}

NO_ACTION = "its action is not in the log any more"
NO_BASE = "its prompt builds on an action that is not in the log any more"
NO_NEXT_STATE = "its next state is not in the log any more"
NO_FEEDBACK = "the feedback that rewarded it is not in the log any more"
FORGOTTEN = "the processors had forgotten the turn (processors.max_open_age_s, processors.max_open_bytes)"
NOT_OURS = "written by other components than the processors"
EXPIRED = "what they were then has left the log (samples and batches are kept for two days, other topics for a week)"
PARTLY_OUTSIDE = "batches that hold samples of other conversations, or of turns that cannot be replayed"

Slot = tuple[object, ...]
Pair = tuple[str, str]  # action id, next state id


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One derived record, without what it says."""

    id: str
    slot: Slot
    digest: str  # of id, type, time, key and value
    partition: int
    offset: int
    timestamp_ms: int
    action_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What models said of one transition. `hint` None: the log ends between the two."""

    verdict: VerdictReached
    hint: HintExtracted | None


@dataclass(slots=True, kw_only=True)
class History:
    """What was derived from a slice. Empty: nothing was; `read_recorded` makes any other."""

    entries: dict[str, dict[str, Entry]] = field(default_factory=lambda: {topic.name: {} for topic in DERIVED})
    judged: dict[Pair, Judged] = field(default_factory=dict)
    batches: list[BatchSealed] = field(default_factory=list)  # those of which the slice holds every sample
    unreadable: list[Recorded] = field(default_factory=list)  # in topics that stages read
    spans: Spans = field(default_factory=Spans)
    thumbs: Behind = field(default_factory=dict)  # of the feedback that samples name
    unrepeatable: dict[str, str] = field(default_factory=dict)  # action id -> why its turn cannot be derived again
    left_out: Counter[str] = field(default_factory=Counter)  # records, by why they are not compared
    _by_slot: dict[tuple[str, Slot], Entry] = field(default_factory=dict)

    def entry_for(self, topic: str, event: Event) -> Entry | None:
        """The record of an event, or else the first about the same."""
        return self.entries[topic].get(event.id) or self._by_slot.get((topic, slot_of(event)))

    def add(self, record: Recorded, event: Event) -> None:
        """Remember a record; the first of an id wins."""
        entry = Entry(
            id=event.id,
            slot=slot_of(event),
            digest=content_digest(record.headers, record.key or b"", record.value),
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            action_id=getattr(event, "action_id", None),
        )
        if self.entries[record.topic].setdefault(event.id, entry) is entry:
            self._by_slot.setdefault((record.topic, entry.slot), entry)
            if isinstance(event, BatchSealed):
                self.batches.append(event)

    def leave_out_partial_batches(self, taken: Slice) -> None:
        """Forget the batches that the slice alone cannot fill again."""
        repeatable = taken.action_ids - self.unrepeatable.keys()
        for batch in self.batches:
            has_samples = self.spans.has((SAMPLES.name, batch.samples_partition), batch.first_offset)
            if not has_samples or not repeatable.issuperset(batch.action_ids):
                self.left_out[PARTLY_OUTSIDE if has_samples else EXPIRED] += 1
                del self.entries[BATCHES.name][batch.id]
        self.batches = [batch for batch in self.batches if batch.id in self.entries[BATCHES.name]]


def slot_of(event: Event) -> Slot:
    """What a derived event is about: at most one of its kind is expected to be."""
    match event:
        case TransitionJoined():
            return event.action_id, event.next_state_id
        case TurnSkipped():  # a branch is about one next state, the others about the action (processors/join.py)
            return event.action_id, event.detail if event.reason == "branch" else ""
        case BatchSealed():
            return event.samples_partition, event.first_offset
        case EventRejected():
            return event.topic, event.partition, event.offset, event.stage
        case _:
            return (getattr(event, "action_id", event.id),)


def read_recorded(read: Read, selection: Selection, max_open_age_s: float) -> tuple[Slice, History]:
    """A slice of the log, and what was derived from it.

    The inputs are read last: a running stack may add to them meanwhile, and what it then derives is pending. Read the
    other way round, it would have been derived from nothing.
    Args:    max_open_age_s: after this the processors forget a turn; what then follows it may have gone unnoticed.
    Raises:  EmptySliceError: the selection fits nothing.
    """
    chosen = choose(read, selection)
    history = _read_history(read, chosen)
    taken = take(read, chosen)
    history.unrepeatable |= dict.fromkeys(taken.answered_after(int(max_open_age_s * 1000)), FORGOTTEN)
    history.leave_out_partial_batches(taken)
    return taken, history


def _read_history(read: Read, taken: Slice) -> History:
    history = History(unrepeatable=dict.fromkeys(taken.incomplete, NO_BASE))
    notes = _Notes()
    for record in read((*DERIVED, CHECKPOINTS)):
        history.spans.add(record)
        if isinstance(record.event, CheckpointPublished):
            history.spans.add_checkpoint(record.event)
        elif record.topic == CHECKPOINTS.name:
            continue  # unreadable: no stage of the processors reads it
        elif record.event is None:
            if taken.holds(record):
                history.unreadable.append(record)
        elif _is_about(taken, record.event, history):
            _note(history, notes, taken, record.event)
            history.add(record, record.event)
    history.judged, history.thumbs = notes.judged(), notes.thumbs()
    return history


@dataclass(slots=True)
class _Notes:
    """What can only be put together once all is read."""

    pairs: dict[str, Pair] = field(default_factory=dict)  # by transition id
    verdicts: dict[str, VerdictReached] = field(default_factory=dict)  # by transition id; the first one counts
    hints: dict[str, HintExtracted] = field(default_factory=dict)
    rewarded: list[SampleBuilt] = field(default_factory=list)  # by a thumb
    unrewarded: set[str] = field(default_factory=set)  # actions that were skipped first, for want of a reward

    def judged(self) -> dict[Pair, Judged]:
        """What is known by transitions' ids, by what they pair."""
        return {
            self.pairs[key]: Judged(verdict=verdict, hint=self.hints.get(key))
            for key, verdict in reversed(self.verdicts.items())  # the first one counts here, too
            if key in self.pairs
        }

    def thumbs(self) -> Behind:
        """Of each thumb that made a sample, the next state behind which it was there; None: after a skip."""
        return {
            str(sample.feedback_id): self.pairs[sample.transition_id][1]
            if sample.transition_id in self.pairs and sample.action_id not in self.unrewarded
            else None
            for sample in self.rewarded
        }


def _is_about(taken: Slice, event: Event, history: History) -> bool:
    """Whether the processors derived it from this slice; counts what is of the slice but not of theirs."""
    if isinstance(event, BatchSealed):
        return taken.is_everything or not taken.action_ids.isdisjoint(event.action_ids)
    if not (taken.is_everything or event.conversation_id in taken.conversations):
        return False
    if isinstance(event, TurnSkipped | EventRejected) and event.stage not in STAGES:
        history.left_out[NOT_OURS] += 1
        return False
    if isinstance(event, EventRejected) and accounts_for_forgotten(event):
        history.left_out[FORGOTTEN] += 1
        return False
    return True


def _note(history: History, notes: _Notes, taken: Slice, event: Event) -> None:
    match event:
        case TransitionJoined():
            notes.pairs.setdefault(event.id, (event.action_id, event.next_state_id))
            if event.next_state_id not in taken.next_state_ids:
                history.unrepeatable[event.action_id] = NO_NEXT_STATE
        case VerdictReached():
            notes.verdicts.setdefault(event.transition_id, event)
        case HintExtracted():
            notes.hints.setdefault(event.transition_id, event)
        case SampleBuilt() if event.feedback_id is not None:
            notes.rewarded.append(event)
            if event.feedback_id not in taken.feedback_ids:
                history.unrepeatable[event.action_id] = NO_FEEDBACK
        case TurnSkipped() if accounts_for_forgotten(event):
            history.unrepeatable[event.action_id] = FORGOTTEN
        case TurnSkipped(stage=build.STAGE, reason=reason) if reason in build.UNREWARDED:
            notes.unrewarded.add(event.action_id)
    action_id = getattr(event, "action_id", None)
    if action_id is not None and action_id not in taken.action_ids:
        history.unrepeatable[action_id] = NO_ACTION
