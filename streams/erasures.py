"""`Erasures`: what must not be shown, archived, replayed or restored any more.

Consumes SubjectErased events; produces, for any record, the record, nothing, or a batch without the erased words. What
a subject says after its erasure is its new history, and stays.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import pyarrow as pa

from schemas.batch import SAMPLE_SCHEMA
from schemas.events import BatchSealed, EventRejected, SampleBuilt, SubjectErased
from schemas.identity import subject_digest, time_of
from streams.codec import decode_batch
from streams.recorded import Recorded, header_text
from streams.topics import WHOLE_PROMPTS_MS

ERASED = "ns_erased"  # header of a batch that has lost words: its content is no longer what its stamp says
_WORDS = ("prompt_ids", "response_ids", "response_logprobs", "token_versions", "hints", "teacher_prompt_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """One subject, forgotten up to a time. `event_id`: of the SubjectErased that says so."""

    event_id: str
    tenant: str
    subject_digest: str
    until_ms: int
    sample_ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, event: SubjectErased) -> "Erasure":
        """What an event asks for."""
        return cls(
            event_id=event.id,
            tenant=event.tenant,
            subject_digest=event.subject_digest,
            until_ms=event.time_ms,
            sample_ids=event.sample_ids,
        )


@dataclass(slots=True)
class Erasures:
    """All erasures so far."""

    known: dict[str, Erasure] = field(default_factory=dict)  # by event id
    _until_ms: dict[tuple[str, str], int] = field(default_factory=dict)  # by tenant and digest
    _digests: set[str] = field(default_factory=set)  # of subjects of any tenant
    _sample_ids: set[str] = field(default_factory=set)
    _later_sample_ids: set[str] = field(default_factory=set)  # of an erased subject's new history

    @classmethod
    def of(cls, erasures: Iterable[Erasure]) -> "Erasures":
        """These erasures."""
        found = cls()
        for erasure in erasures:
            found.add(erasure)
        return found

    def add(self, erasure: Erasure) -> bool:
        """One more. Returns: whether it was not known yet."""
        if erasure.event_id in self.known:
            return False
        self.known[erasure.event_id] = erasure
        key = (erasure.tenant, erasure.subject_digest)
        self._until_ms[key] = max(erasure.until_ms, self._until_ms.get(key, erasure.until_ms))
        self._digests.add(erasure.subject_digest)
        self._sample_ids.update(erasure.sample_ids)
        return True

    def is_about(self, subject: str | None) -> bool:
        """Whether a subject of this name, of any tenant, was ever erased."""
        return bool(subject) and subject_digest(str(subject)) in self._digests

    def covers(self, *, sample_id: str, action_id: str, tenant: str, subject: str, sealed_ms: int) -> bool:
        """Whether a sample in a batch is erased. Args: sealed_ms: the batch's time, which no input of it is after."""
        until_ms = self._until_ms.get((tenant, subject_digest(subject)), -1)
        return sample_id in self._sample_ids or sealed_ms <= until_ms or _is_until(action_id, until_ms)

    def apply(self, record: Recorded) -> Recorded | None:
        """The record as it may be kept: mostly itself; None where nothing of it may."""
        if not self.known:
            return record
        event = record.event
        if event is None:
            return None if self._is_erased_unread(record) else record
        if isinstance(event, BatchSealed):
            return self._without_words(record, event)
        if not self.is_about(event.subject):
            return record
        if isinstance(event, EventRejected):  # of a record that nobody could read: its tenant is not known
            return None if self._is_erased_somewhere(event.subject, event.time_ms) else record
        is_erased = self._is_erased(event.tenant, event.subject, event.time_ms)
        if isinstance(event, SampleBuilt):  # perhaps one that was built after the erasure was asked for
            (self._sample_ids if is_erased else self._later_sample_ids).add(event.id)
        return None if is_erased else record

    def _is_erased(self, tenant: str, subject: str, time_ms: int) -> bool:
        return time_ms <= self._until_ms.get((tenant, subject_digest(subject)), time_ms - 1)

    def _is_erased_unread(self, record: Recorded) -> bool:
        """A record that nobody can read: all that is known of it is the subject in its headers, of whatever tenant."""
        subject = header_text(record.headers, "ce_subject")
        return self.is_about(subject) and self._is_erased_somewhere(subject, record.timestamp_ms)

    def _is_erased_somewhere(self, subject: str, time_ms: int) -> bool:
        return any(self._is_erased(tenant, subject, time_ms) for tenant, _ in self._until_ms)

    def _without_words(self, record: Recorded, event: BatchSealed) -> Recorded:
        _, table = decode_batch(record.value)
        columns = (table[name].to_pylist() for name in ("sample_id", "tenant", "subject", "prompt_ids"))
        erased = {
            sample_id
            for sample_id, tenant, subject, words in zip(*columns, strict=True)
            if words and self._is_sample_erased(sample_id, tenant, subject, event.time_ms)
        }
        if not erased:
            return record
        headers = [header for header in record.headers if header[0] != ERASED]
        return replace(record, value=_blanked(record.value, erased), headers=[*headers, (ERASED, b"1")])

    def _is_sample_erased(self, sample_id: str, tenant: str, subject: str, sealed_ms: int) -> bool:
        """A batch can be read before its samples, and be sealed long after them: where it is unsure, words go."""
        if sample_id in self._sample_ids:
            return True
        is_later = sample_id in self._later_sample_ids
        return not is_later and self._is_erased(tenant, subject, sealed_ms - WHOLE_PROMPTS_MS)


def _is_until(action_id: str, until_ms: int) -> bool:
    try:
        return time_of(action_id) <= until_ms
    except ValueError:  # an id of somebody else's making
        return False


def without_erased(records: Iterable[Recorded], erasures: Erasures) -> Iterator[Recorded]:
    """The records as they may be shown."""
    for record in records:
        if (kept := erasures.apply(record)) is not None:
            yield kept


def _blanked(value: bytes, sample_ids: set[str]) -> bytes:
    """A batch that names the same samples, some of which have no tokens and no hints any more."""
    _, table = decode_batch(value)
    metadata = pa.ipc.open_stream(pa.py_buffer(value)).schema.metadata or {}
    rows = [row | {name: [] for name in _WORDS} if row["sample_id"] in sample_ids else row for row in table.to_pylist()]
    blank = pa.Table.from_pylist(rows, schema=SAMPLE_SCHEMA.with_metadata(metadata))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, blank.schema) as writer:
        writer.write_table(blank)
    return bytes(sink.getvalue())
