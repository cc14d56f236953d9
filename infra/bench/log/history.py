"""`Pattern`: a recorded log, written down again and again as later history: as many events as a benchmark wants.

Sizes, mix, keys and references stay as they were recorded; ids, times, versions, words, tokens and log-probs are others
in every copy, so that nothing compresses better, or is found faster, than it would be in a log that really grew.
Consumes records; produces records as a producer sends them, and as a reader of Kafka finds them.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple, Self

import numpy as np
import orjson

from schemas.errors import RejectedError
from schemas.events import ActionTaken, BatchSealed, CheckpointPublished, SampleBuilt, SubjectErased
from schemas.identity import digest_bytes
from streams.codec import Encoded, decode, encode_batch
from streams.config import KafkaConfig
from streams.placement import partition_of
from streams.recorded import Recorded, record_of
from streams.stamp import content_digest
from streams.topics import BY_NAME

# What differs between copies, in the JSON of any event.
_PLACES = re.compile(
    rb"""(?P<words>(?<="content":")(?:[^"\\]|\\.)+ | (?<="hints":\[")(?:[^"\\]|\\.)+)
    | (?P<tokens>(?<=_ids":\[)\d[\d,]* | (?<=_ids":\[\[)\d[\d,]*)
    | (?P<logprobs>(?<=logprobs":\[)[-\d.,e]+)
    | (?P<adapter>(?<="adapter":")[^"]+@\d+)
    | (?P<version>(?<=version":)\d+)
    | (?P<id>[\w.-]+)""",  # if it is one
    re.VERBOSE,
)
_OURS = re.compile(rb"01[0-9a-f]{30}")  # an id that begins with its time, see schemas/identity.py
_ANY_BROKER = KafkaConfig()
_PAUSE_MS = 1_000  # between the last event of a copy and the first of the next
_STEP = 7_919  # a prime, so that words and tokens of neighbouring copies are far apart
_Parts = Sequence[tuple[str, bytes]]  # kind of place, or "" for what stays; and what stands there


class Written(NamedTuple):
    """A record that a producer would send, and when (epoch)."""

    topic: str
    encoded: Encoded
    timestamp_ms: int


class _Form(NamedTuple):
    record: Recorded
    key: _Parts
    value: _Parts  # of a batch nothing: it is put together from its samples


class Pattern:
    """What is repeated. A copy begins where the one before it ended, and its versions go on from there."""

    def __init__(self, forms: Sequence[_Form]) -> None:
        events = [form.record.event for form in forms]
        times = [form.record.timestamp_ms for form in forms]
        self.start_ms = min(times)
        self.span_ms = max(times) - min(times) + _PAUSE_MS
        self._forms = forms
        self._num_versions = sum(isinstance(event, CheckpointPublished) for event in events) // 2  # on two topics
        self._num_samples = sum(isinstance(event, SampleBuilt) for event in events)
        places = [place for form in forms for place in form.value]
        self._words = sorted({word for kind, text in places if kind == "words" for word in text.split(b" ")})
        self._tokens = sorted({token for kind, text in places if kind == "tokens" for token in text.split(b",")})

    def __len__(self) -> int:
        return len(self._forms)

    @classmethod
    def of(cls, records: Iterable[Recorded]) -> Self:
        """Args: records: a log. Raises: RejectedError: it has no action."""
        kept = [one for one in records if one.event is not None and not isinstance(one.event, SubjectErased)]
        sample_ids = {one.event.id for one in kept if isinstance(one.event, SampleBuilt)}
        whole = [
            one for one in kept if not isinstance(one.event, BatchSealed) or sample_ids.issuperset(one.event.sample_ids)
        ]
        if not any(isinstance(one.event, ActionTaken) for one in kept):
            message = (
                "This log has no action whose like could be written: talk to a stack first, or run nextstate demo."
            )
            raise RejectedError(message)
        ordered = sorted(whole, key=lambda one: isinstance(one.event, BatchSealed))  # samples are known before batches
        events = [one.event for one in kept if one.event is not None]
        ids = frozenset(name.encode() for event in events for name in (event.id, event.conversation_id) if name)
        return cls([_form(one, ids) for one in ordered])

    def mix(self) -> Counter[str]:
        """Records of one copy, by topic."""
        return Counter(form.record.topic for form in self._forms)

    def copy(self, number: int, first_ms: int) -> Iterator[Written]:
        """One more length of history. Args: number: of the copy, from 0 on; first_ms: when copy 0 begins, epoch."""
        shift_ms = first_ms + number * self.span_ms - self.start_ms
        rewrite = _Rewrite(number, shift_ms, number * self._num_versions, self._words, self._tokens)
        samples: dict[str, SampleBuilt] = {}
        for form in self._forms:
            event = form.record.event
            if isinstance(event, BatchSealed):
                later = self._later_batch(event, number, rewrite)
                encoded = encode_batch(later, [samples[one] for one in later.sample_ids], "processors")
            else:
                encoded = rewrite.record(form)
            yield Written(form.record.topic, encoded, form.record.timestamp_ms + shift_ms)
            if isinstance(event, SampleBuilt) and isinstance(
                sample := decode(encoded.headers, encoded.value), SampleBuilt
            ):
                samples[sample.id] = sample

    def _later_batch(self, event: BatchSealed, number: int, rewrite: "_Rewrite") -> BatchSealed:
        return replace(
            event,
            id=rewrite.id(event.id),
            time_ms=event.time_ms + rewrite.shift_ms,
            sample_ids=tuple(map(rewrite.id, event.sample_ids)),
            action_ids=tuple(map(rewrite.id, event.action_ids)),
            first_offset=event.first_offset + number * self._num_samples,
            last_offset=event.last_offset + number * self._num_samples,
        )


class _Rewrite:
    """What stands in the places of one copy: alike where the recorded log has alike, other than in every other copy."""

    def __init__(
        self, number: int, shift_ms: int, num_versions_before: int, words: Sequence[bytes], tokens: Sequence[bytes]
    ) -> None:
        self.shift_ms = shift_ms
        self._number = number
        self._num_versions_before = num_versions_before
        self._words = _rotated(words, number)
        self._tokens = _rotated(tokens, number)
        self._random = np.random.default_rng(number)
        self._known: dict[tuple[str, bytes], bytes] = {}

    def record(self, form: _Form) -> Encoded:
        """The record in this copy, stamped anew."""
        key, value = self._fill(form.key), self._fill(form.value)
        return self._stamped(Encoded(key=key, value=value, headers=form.record.headers), form.record)

    def id(self, known: str) -> str:
        """An event's id in this copy."""
        return self._at("id", known.encode()).decode()

    def _stamped(self, encoded: Encoded, record: Recorded) -> Encoded:
        assert record.event is not None
        time = datetime.fromtimestamp((record.event.time_ms + self.shift_ms) / 1000, UTC)
        headers = dict(encoded.headers)
        headers["ce_id"] = self.id(record.event.id).encode()
        headers["ce_time"] = time.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
        if "ns_instance" in headers:  # each copy is a later life of its producers
            headers["ns_instance"] = self._at("instance", headers["ns_instance"])
            headers["ns_digest"] = content_digest(list(headers.items()), encoded.key, encoded.value).encode()
        return replace(encoded, headers=list(headers.items()))

    def _fill(self, parts: _Parts) -> bytes:
        return b"".join(self._at(kind, text) if kind else text for kind, text in parts)

    def _at(self, kind: str, text: bytes) -> bytes:
        place = (kind, text)
        if (found := self._known.get(place)) is None:
            found = self._known[place] = self._new(kind, text)
        return found

    def _new(self, kind: str, text: bytes) -> bytes:
        match kind:
            case "id":
                return self._new_id(text)
            case "words":
                return b" ".join(self._words[word] for word in text.split(b" "))
            case "tokens":
                return b",".join(self._tokens[token] for token in text.split(b","))
            case "instance":
                return digest_bytes(text + b"%d" % self._number).encode()
            case "adapter":
                name, _, version = text.rpartition(b"@")
                return b"%b@%d" % (name, int(version) + self._num_versions_before)
            case "version":
                return b"%d" % (int(text) + self._num_versions_before)
        logprobs = np.array(orjson.loads(b"[%b]" % text), np.float32)
        other = logprobs * self._random.uniform(0.9, 1.1, len(logprobs)).astype(np.float32)
        return orjson.dumps(other.astype(np.float64), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]

    def _new_id(self, known: bytes) -> bytes:
        """Ids that begin with their time do so in the copy, too: files are sorted by them (schemas/identity.py)."""
        digest = digest_bytes(known + b"%d" % self._number).encode()
        if _OURS.fullmatch(known):
            return b"%012x%b" % (int(known[:12], 16) + self.shift_ms, digest[12:])
        return digest


def _form(record: Recorded, ids: Container[bytes]) -> _Form:
    value = () if isinstance(record.event, BatchSealed) else _parts(record.value, ids)
    return _Form(record, _parts(record.key or b"", ids), value)


def _parts(text: bytes, ids: Container[bytes]) -> _Parts:
    parts, end = [], 0
    for found in _PLACES.finditer(text):
        if found.lastgroup != "id" or found.group() in ids:
            parts += [("", text[end : found.start()]), (str(found.lastgroup), found.group())]
            end = found.end()
    return (*parts, ("", text[end:]))


def _rotated(some: Sequence[bytes], number: int) -> dict[bytes, bytes]:
    shift = number * _STEP % max(1, len(some))
    return dict(zip(some, (*some[shift:], *some[:shift]), strict=True))


class Places:
    """Where records would lie: each partition takes them in their order."""

    def __init__(self) -> None:
        self.ends: Counter[tuple[str, int]] = Counter()

    def take(self, written: Written) -> Recorded:
        """The record as a reader finds it."""
        topic = BY_NAME[written.topic]
        partition = partition_of(written.encoded.key, topic.partitions) if written.encoded.key else 0
        offset = self.ends[topic.name, partition]
        self.ends[topic.name, partition] += 1
        return record_of(
            _ANY_BROKER,
            topic=topic.name,
            partition=partition,
            offset=offset,
            timestamp_ms=written.timestamp_ms,
            headers=written.encoded.headers,
            key=written.encoded.key,
            value=written.encoded.value,
        )
