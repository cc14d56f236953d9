"""`LogIndex`: what the audit remembers of a log, in one pass over its records.

Owns a light fact per event, the lives of producers, and what is wrong with single records. Consumes records: those of a
partition in their order, topics in any. Produces look-ups for the checks, which run when all records are in.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

from infra.audit.facts import Fact, Line, fact_of
from infra.audit.horizon import Horizon
from schemas import events as e
from schemas.errors import MalformedEventError
from streams.erasures import ERASED
from streams.producer import SEND_TIMEOUT_S
from streams.recorded import Recorded, header_text
from streams.stamp import Stamp, content_digest, read_stamp
from streams.topics import CHECKPOINTS, CURRENT_POLICIES, TOPIC_OF, Topic

E = TypeVar("E", bound=e.Event)
Place = tuple[str, int, int]  # topic, partition, offset

# A record may be on its way this long: what is younger, or was sent so shortly before its producer ended, may be
# missing because nobody has acknowledged it yet, or ever will.
UNDER_WAY_MS = int(SEND_TIMEOUT_S * 1000)


@dataclass(slots=True)
class Life:
    """One life of a producer: its records by number, the first of each."""

    numbers: dict[int, Line] = field(default_factory=dict)
    clashes: list[tuple[int, Line]] = field(default_factory=list)  # a number that another event has already


class LogIndex:
    """Everything that checks can ask.

    Args:    now_ms: when the log is read; max_open_age_ms: how long a turn may stay open.
    """

    def __init__(self, *, now_ms: int, max_open_age_ms: int) -> None:
        self.max_open_age_ms = max_open_age_ms
        self.horizon = Horizon(now_ms)
        self.num_records: Counter[str] = Counter()  # by topic
        self.num_unstamped: Counter[str] = Counter()  # by topic
        self.num_erased = 0  # records that have lost words to an erasure, and so are not what their stamp says
        self.lives: defaultdict[str, Life] = defaultdict(Life)  # by instance
        self.unreadable: list[tuple[Line, str]] = []  # records without an event, and why
        self.changed: list[tuple[Line, str]] = []  # records that are not what their stamp says, and how
        self.repeats: list[Line] = []  # records that say again what an earlier one said
        self.conflicts: list[tuple[Line, Line]] = []  # the first record of an id, and one that says something else
        self._facts: defaultdict[tuple[str, type[e.Event]], dict[str, Fact[Any]]] = defaultdict(dict)
        self._by_action: dict[type[e.Event], Mapping[str, list[Fact[Any]]]] = {}
        self._now_ms = now_ms

    def add(self, record: Recorded) -> None:
        """Remember one more record."""
        line = Line(record.topic, record.partition, record.offset, record.timestamp_ms, _id_of(record))
        self.num_records[record.topic] += 1
        self.horizon.note(line)
        if isinstance(record.event, e.SubjectErased):
            self.horizon.note_erasure(record.event.time_ms)
        self._add_stamp(record, line)
        if record.event is None:
            self.unreadable.append((line, str(record.error)))
            return
        facts = self._facts[record.topic, type(record.event)]
        fact = fact_of(record.event, record, line)
        first = facts.setdefault(fact.event.id, fact)
        if first is not fact and first.content != fact.content:
            self.conflicts.append((first.line, line))
        elif first is not fact:
            self.repeats.append(line)

    def of(self, kind: type[E], topic: Topic | None = None) -> Mapping[str, Fact[E]]:
        """Events of a type by id, the first record of each, in the order of their partition.

        Args:    topic: where the type is on two.
        """
        return cast("Mapping[str, Fact[E]]", self._facts[(topic or TOPIC_OF[kind]).name, kind])

    def about(self, kind: type[E], action_id: str) -> list[Fact[E]]:
        """Events of a type that name an action."""
        if kind not in self._by_action:
            named: defaultdict[str, list[Fact[Any]]] = defaultdict(list)
            for fact in self.of(kind).values():
                named[cast("Any", fact.event).action_id].append(fact)
            self._by_action[kind] = dict(named)
        return cast("list[Fact[E]]", self._by_action[kind].get(action_id, []))

    def batches_of(self, sample_id: str) -> list[Fact[e.BatchSealed]]:
        """The batches that hold a sample."""
        return self._batches_by_sample.get(sample_id, [])

    @cached_property
    def _batches_by_sample(self) -> Mapping[str, list[Fact[e.BatchSealed]]]:
        found: defaultdict[str, list[Fact[e.BatchSealed]]] = defaultdict(list)
        for fact in self.of(e.BatchSealed).values():
            for sample_id in fact.event.sample_ids:
                found[sample_id].append(fact)
        return dict(found)

    @property
    def all_facts(self) -> list[Fact[e.Event]]:
        """Every event once; a checkpoint on `current-policies` only repeats one on `checkpoints`."""
        return [
            fact
            for (topic, kind), facts in self._facts.items()
            if (topic, kind) != (CURRENT_POLICIES.name, e.CheckpointPublished)
            for fact in facts.values()
        ]

    @cached_property
    def rejected_places(self) -> frozenset[Place]:
        """The records that a rejection names."""
        found = (fact.event for fact in self.of(e.EventRejected).values())
        return frozenset((event.topic, event.partition, event.offset) for event in found)

    def is_rejected(self, line: Line) -> bool:
        """Whether a rejection names this record."""
        return line[:3] in self.rejected_places

    def is_young(self, line: Line) -> bool:
        """Whether what belongs to this record may still be on its way."""
        return line.timestamp_ms > self._now_ms - UNDER_WAY_MS

    def is_open(self, line: Line) -> bool:
        """Whether a turn that began with this record may still be waited for."""
        return line.timestamp_ms > self._now_ms - self.max_open_age_ms

    @cached_property
    def checkpoints(self) -> Mapping[tuple[str, int], Fact[e.CheckpointPublished]]:
        """By policy and version, the first of each."""
        found: dict[tuple[str, int], Fact[e.CheckpointPublished]] = {}
        for fact in self.of(e.CheckpointPublished, CHECKPOINTS).values():
            found.setdefault((fact.event.policy, fact.event.version), fact)
        return found

    def _add_stamp(self, record: Recorded, line: Line) -> None:
        try:
            stamp = read_stamp(record.headers)
        except MalformedEventError as error:
            self.changed.append((line, str(error)))
            return
        if stamp is None:
            self.num_unstamped[record.topic] += 1
            return
        if any(name == ERASED for name, _ in record.headers):
            self.num_erased += 1
        elif content_digest(record.headers, record.key or b"", record.value) != stamp.digest:
            self.changed.append((line, "The record is not what its producer stamped: its content digest is another."))
        self._add_number(stamp, line)

    def _add_number(self, stamp: Stamp, line: Line) -> None:
        life = self.lives[stamp.instance]
        if life.numbers.setdefault(stamp.seq, line).event_id != line.event_id:
            life.clashes.append((stamp.seq, line))


def _id_of(record: Recorded) -> str:
    if record.event is not None:
        return record.event.id
    return header_text(record.headers, "ce_id")
