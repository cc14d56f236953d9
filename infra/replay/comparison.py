"""`Comparison`: each replayed record beside the recorded one, byte for byte; what differs is named.

A replayed record is `identical` to the recorded one of its id, or not. What is left over on both sides is then paired
by what it is about, so that a turn judged by another judge shows as one changed verdict, not as one lost and one found:

    other value   says something else
    other id      says the same, but was made from other inputs or by other code: only ids differ
    missing       was recorded, and is not derived any more
    new           is derived now, and was not recorded
    pending       is derived now; when the log ended, the processors had not come that far

Owns the counts and, of records that differ, the replayed event; recorded events are read again at the end, and only
those that differ.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from infra.replay.history import DERIVED, EXPIRED, Entry, History, Slot, slot_of
from infra.replay.slice import Read
from infra.replay.spans import Partition
from schemas.events import Event
from streams.recorded import Recorded
from streams.stamp import content_digest
from streams.topics import BATCHES, BY_NAME

Kind = Literal["other value", "other id", "missing", "new", "pending"]
KINDS: tuple[Kind, ...] = ("other value", "other id", "missing", "new", "pending")
BYTES = "bytes"  # the field that is named where all fields are equal and only their form differs


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One derived event that is not as it was recorded."""

    topic: str
    kind: Kind
    recorded_id: str | None
    replayed_id: str | None
    action_id: str | None
    field: str | None = None  # the first place that differs
    recorded: object = None  # its value then
    replayed: object = None  # its value now


@dataclass(slots=True)
class Counts:
    """Of one topic. Recorded ids that cannot be replayed are not among these numbers."""

    recorded: int = 0
    replayed: int = 0
    identical: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a replay shows."""

    counts: Mapping[str, Counts]  # by topic
    differences: tuple[Difference, ...]
    not_compared: Mapping[str, int]  # records, by why

    @property
    def is_identical(self) -> bool:
        """Whether nothing that was recorded would be different today."""
        return not any(counts.kinds[kind] for counts in self.counts.values() for kind in KINDS if kind != "pending")


@dataclass(frozen=True, slots=True, eq=False)
class _Replayed:
    record: Recorded
    cause: Recorded | None

    @property
    def event(self) -> Event:
        assert self.record.event is not None  # what is written can be read
        return self.record.event

    @property
    def event_id(self) -> str:
        return self.event.id


class Comparison:
    """Sees every replayed record; `outcome` at the end."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._seen: dict[str, set[str]] = {topic.name: set() for topic in DERIVED}
        self._counts = {topic.name: Counts() for topic in DERIVED}
        self._unlike: list[_Replayed] = []
        self._not_compared = Counter(history.left_out)
        self._reached: defaultdict[Partition, int] = defaultdict(lambda: -1)

    def see(self, record: Recorded, cause: Recorded | None) -> None:
        """Take a replayed record; the first of an id counts, as it does in the log."""
        event, seen, counts = record.event, self._seen[record.topic], self._counts[record.topic]
        assert event is not None  # what is written can be read
        if event.id in seen:
            return
        seen.add(event.id)
        entry = self._history.entries[record.topic].get(event.id)
        if entry is not None and cause is not None:
            at = (cause.topic, cause.partition)
            self._reached[at] = max(self._reached[at], cause.offset)
        if entry is None and (reason := self._why_not(record, cause)) is not None:
            self._not_compared[reason] += 1
            return
        counts.replayed += 1
        if entry is not None and entry.digest == content_digest(record.headers, record.key or b"", record.value):
            counts.identical += 1
        else:
            self._unlike.append(_Replayed(replace(record, value=b""), cause))  # its event says it all

    def _why_not(self, record: Recorded, cause: Recorded | None) -> str | None:
        """Why a record that has no counterpart need not have one."""
        reason = self._history.unrepeatable.get(getattr(record.event, "action_id", None) or "")
        if reason is not None or cause is None:
            return reason
        has_left = self._history.spans.had((record.topic, record.partition), cause.timestamp_ms)
        return EXPIRED if has_left else None

    def outcome(self, read: Read) -> Outcome:
        """The result, once all is replayed. Args: read: where the recorded events are."""
        pairs, lost = _paired(self._unlike, self._left())
        recorded = _recorded_events(read, {entry.id: each.record.topic for each, entry in pairs if entry is not None})
        differences = [self._difference(each, recorded.get(entry.id) if entry else None) for each, entry in pairs]
        differences += [_missing(topic, entry) for topic, entry in lost]
        for difference in differences:
            self._counts[difference.topic].kinds[difference.kind] += 1
        order = [topic.name for topic in DERIVED]
        differences.sort(key=lambda each: (order.index(each.topic), KINDS.index(each.kind)))
        return Outcome(counts=self._counts, differences=tuple(differences), not_compared=dict(self._not_compared))

    def _left(self) -> list[tuple[str, Entry]]:
        """Topic and entry of what was recorded and has no identical replayed record; counts the others."""
        unlike = {each.event_id for each in self._unlike}
        left: list[tuple[str, Entry]] = []
        for topic, entries in self._history.entries.items():
            for entry in entries.values():
                is_lost = entry.id not in self._seen[topic]
                reason = self._history.unrepeatable.get(entry.action_id or "")
                if is_lost and reason is not None:
                    self._not_compared[reason] += 1
                    continue
                self._counts[topic].recorded += 1
                if is_lost or entry.id in unlike:
                    left.append((topic, entry))
        return left

    def _difference(self, each: _Replayed, recorded: Event | None) -> Difference:
        event, topic = each.event, each.record.topic
        action_id = getattr(event, "action_id", None)
        if recorded is None:
            is_pending = topic != BATCHES.name and self._is_pending(
                each.cause
            )  # a batch waits for its size, not for us
            kind: Kind = "pending" if is_pending else "new"
            return Difference(topic=topic, kind=kind, recorded_id=None, replayed_id=event.id, action_id=action_id)
        name = _first_field(recorded, event)
        place, was, now = parting(name, getattr(recorded, name, None), getattr(event, name, None))
        return Difference(
            topic=topic,
            kind="other id" if recorded.id != event.id and _is_identity(name) else "other value",
            recorded_id=recorded.id,
            replayed_id=event.id,
            action_id=action_id,
            field=place,
            recorded=was,
            replayed=now,
        )

    def _is_pending(self, cause: Recorded | None) -> bool:
        """Whether nothing in the log derives from the cause, or from anything behind it in its partition."""
        return cause is not None and cause.offset > self._reached[cause.topic, cause.partition]


def _first_field(recorded: Event, replayed: Event) -> str:
    """The first field that differs, content before ids; `BYTES` where none does."""
    names = [each.name for each in fields(recorded)]
    ordered = sorted(names, key=_is_identity)  # stable: otherwise in the order of the class
    return next((name for name in ordered if getattr(recorded, name) != getattr(replayed, name, None)), BYTES)


def parting(place: str, recorded: Any, replayed: Any) -> tuple[str, object, object]:
    """Where two different values part first, and what stands there: (`teacher_prompt_ids[0][57]`, 5, 7), say."""
    if type(recorded) is not type(replayed):
        return place, recorded, replayed
    if isinstance(recorded, tuple):
        pairs = enumerate(zip(recorded, replayed, strict=False))
        inside = next(((f"{place}[{at}]", *pair) for at, pair in pairs if pair[0] != pair[1]), None)
        return parting(*inside) if inside else (f"len({place})", len(recorded), len(replayed))
    names = [each.name for each in fields(recorded)] if is_dataclass(recorded) else []
    pairs_of = ((f"{place}.{name}", getattr(recorded, name), getattr(replayed, name)) for name in names)
    inside = next((each for each in pairs_of if each[1] != each[2]), None)
    return parting(*inside) if inside else (place, recorded, replayed)


def _is_identity(name: str) -> bool:
    return name == "id" or (name.endswith(("_id", "_ids")) and not name.endswith(("prompt_ids", "response_ids")))


def _paired(
    unlike: Sequence[_Replayed], left: Sequence[tuple[str, Entry]]
) -> tuple[list[tuple[_Replayed, Entry | None]], list[tuple[str, Entry]]]:
    """Each replayed record with the recorded one of its id, else one about the same, else None; and what is left."""
    by_id = {(topic, entry.id): entry for topic, entry in left}
    partners = {each: by_id.pop((each.record.topic, each.event_id), None) for each in unlike}
    by_slot: defaultdict[tuple[str, Slot], list[str]] = defaultdict(list)
    for topic, event_id in reversed(by_id):  # the first recorded is the last here, and the first to be taken
        by_slot[topic, by_id[topic, event_id].slot].append(event_id)
    for each, partner in partners.items():
        same = by_slot[each.record.topic, slot_of(each.event)]
        if partner is None and same:
            partners[each] = by_id.pop((each.record.topic, same.pop()))
    return list(partners.items()), [(topic, entry) for (topic, _), entry in by_id.items()]


def _missing(topic: str, entry: Entry) -> Difference:
    return Difference(topic=topic, kind="missing", recorded_id=entry.id, replayed_id=None, action_id=entry.action_id)


def _recorded_events(read: Read, wanted: Mapping[str, str]) -> dict[str, Event]:
    """Events by id. Args: wanted: topics by event id."""
    topics = [BY_NAME[name] for name in dict.fromkeys(wanted.values())]
    found: dict[str, Event] = {}
    for record in read(topics) if topics else ():
        if record.event is not None and record.event.id in wanted:
            found.setdefault(record.event.id, record.event)
    return found
