"""What can be done to a good log, and why the audit may be unable to see it: the cells of the table in AUDIT.md."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from audited_world import STEP_MS

from infra.audit import audit
from infra.audit.checks import CHECKS
from infra.audit.index import UNDER_WAY_MS
from infra.audit.report import Finding, Report
from streams.codec import Encoded
from streams.config import KafkaConfig
from streams.recorded import Recorded, record_of
from streams.stamp import Stamper, read_stamp
from streams.topics import CURRENT_POLICIES

DONE = ("drop", "duplicate", "reorder", "alter", "contradict")

UNSTAMPED = "its producer writes no stamps"
LAST = "the last half minute of a producer's life: what is missing there may never have been acknowledged"
COMPACTED = "a newer version is on the topic, so compaction may remove it, too"
TWO_LIVES = "neighbours by two lives of producers: nothing says which came first, and nothing depends on it"
REASONS = (UNSTAMPED, LAST, COMPACTED, TWO_LIVES)


class Attempt(NamedTuple):
    """A log after a sabotage, and what it was done to."""

    records: list[Recorded]
    victims: tuple[Recorded, ...]
    reason: str | None  # why it may stay unseen


def attempts(log: Sequence[Recorded], topic: str, done: str) -> Iterator[Attempt]:
    """The sabotage of each record of a topic in turn; of long topics the first, the last and every third."""
    own = [record for record in log if record.topic == topic]
    for victim in own if len(own) < 9 else {id(one): one for one in (*own[::3], own[-1])}.values():
        match done:
            case "drop":
                yield Attempt(without(log, victim), (victim,), _why_unmissed(log, victim))
            case "duplicate":
                added = _at_end(log, victim)
                yield Attempt([*log, added], (added,), None)
            case "reorder":
                if (other := _neighbour(log, victim)) is not None:
                    yield Attempt(_swapped(log, victim, other), (victim, other), _why_unordered(victim, other))
            case "alter":
                changed = altered(victim)
                reason = UNSTAMPED if read_stamp(victim.headers) is None else None
                yield Attempt([changed if one is victim else one for one in log], (changed,), reason)
            case "contradict":
                added = _at_end(log, altered(victim, stamper=Stamper("somebody")))
                yield Attempt([*log, added], (added,), None)


def report_on(records: Sequence[Recorded], end_ms: int, after_ms: int = 60 * STEP_MS) -> Report:
    """The audit of a log some time after its last record."""
    return audit(records, now_ms=end_ms + after_ms, max_open_age_s=3 * 86_400.0)


def names(finding: Finding, attempt: Attempt) -> bool:
    """Whether a finding names what was done: the place, the event or its action, or the missing number."""
    return any(
        (finding.topic, finding.partition, finding.offset) == (victim.topic, victim.partition, victim.offset)
        or any(identity in f"{finding.event_id}: {finding.what}" for identity in _identities(victim))
        for victim in attempt.victims
    )


def _identities(record: Recorded) -> Iterator[str]:
    stamp = read_stamp(record.headers)
    if stamp is not None:
        yield f"Number {stamp.seq} of {stamp.instance} "
    if record.event is not None:
        yield record.event.id
        yield getattr(record.event, "action_id", record.event.id)


def cell(log: Sequence[Recorded], topic: str, done: str, end_ms: int) -> str:
    """What catches this sabotage in this topic: names of checks, and numbers of reasons for what stays unseen."""
    caught, unseen = set[str](), set[str]()
    for attempt in attempts(log, topic, done):
        report = report_on(attempt.records, end_ms)
        found = [finding for tally in report.tallies for finding in tally.failures]
        if any(names(finding, attempt) for finding in found):
            caught.update(finding.check for finding in found)
        elif done == "duplicate":
            assert not found
            assert _repeats(report) == _repeats(report_on(log, end_ms)) + (attempt.victims[0].event is not None)
            caught.add("counted")
        else:
            assert not found
            assert attempt.reason is not None, f"unseen: {attempt.victims}"
            unseen.add(attempt.reason)
    ordered = [name for name in ("counted", *(check.name for check in CHECKS)) if name in caught]
    numbers = [f"({number})" for number, reason in enumerate(REASONS, 1) if reason in unseen]
    return " ".join([", ".join(ordered), *numbers]).strip()


def without(log: Sequence[Recorded], *gone: Recorded) -> list[Recorded]:
    return [record for record in log if not any(record is one for one in gone)]


def altered(record: Recorded, *, stamper: Stamper | None = None) -> Recorded:
    """Another tenant, in place of its own. Args: stamper: who vouches for it; None: the old stamp stays."""
    value = record.value.replace(b'"default"', b'"changed"', 1) if record.event is not None else b"[]"
    headers = list(record.headers)
    if stamper is not None:
        bare = [(name, raw) for name, raw in headers if not name.startswith("ns_")]
        headers = stamper.stamp(Encoded(key=record.key or b"", value=value, headers=bare)).headers
    return again(record, value=value, headers=headers)


def again(record: Recorded, *, value: bytes, headers: list[tuple[str, bytes]]) -> Recorded:
    """The record, read with another value or other headers."""
    return record_of(
        KafkaConfig(),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        headers=headers,
        key=record.key,
        value=value,
    )


def _at_end(log: Sequence[Recorded], record: Recorded) -> Recorded:
    return replace(record, offset=max(one.offset for one in _partition(log, record)) + 1)


def _partition(log: Sequence[Recorded], record: Recorded) -> list[Recorded]:
    return [one for one in log if (one.topic, one.partition) == (record.topic, record.partition)]


def _neighbour(log: Sequence[Recorded], record: Recorded) -> Recorded | None:
    return next((one for one in _partition(log, record) if one.offset == record.offset + 1), None)


def _swapped(log: Sequence[Recorded], first: Recorded, second: Recorded) -> list[Recorded]:
    moved = {id(first): replace(second, offset=first.offset), id(second): replace(first, offset=second.offset)}
    return [moved.get(id(record), record) for record in log]


def _why_unordered(first: Recorded, second: Recorded) -> str | None:
    stamps = [read_stamp(record.headers) for record in (first, second)]
    if None in stamps:
        return UNSTAMPED
    return TWO_LIVES if len({stamp.instance for stamp in stamps if stamp is not None}) == 2 else None


def _why_unmissed(log: Sequence[Recorded], victim: Recorded) -> str | None:
    own = read_stamp(victim.headers)
    if own is None:
        return UNSTAMPED
    life = {
        stamp.seq: one.timestamp_ms
        for one in log
        if (stamp := read_stamp(one.headers)) is not None and stamp.instance == own.instance
    }
    if max(life.values()) - life.get(own.seq + 1, 2**63) <= UNDER_WAY_MS:
        return LAST
    return COMPACTED if victim.topic == CURRENT_POLICIES.name else None


def _repeats(report: Report) -> int:
    return next(tally.counted["repeats"] for tally in report.tallies if tally.check == "ids")
