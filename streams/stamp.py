"""`Stamper`: gap-free numbers and content digests on every record, so that an audit can see what is missing or changed.

Owns one count per life of a producer. Consumes encoded records, produces the same with `ns_instance`, `ns_seq` and
`ns_digest` headers. A restarted process counts from 0 again, hence the random part that follows its name.
"""

import hashlib
from dataclasses import dataclass, replace

from schemas.errors import MalformedEventError
from schemas.identity import DIGEST_CHARS, new_id
from streams.codec import Encoded, RawHeaders

_CONTENT_HEADERS = ("ce_id", "ce_type", "ce_time")  # not ce_source: a replayed event is the same event


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a producer says of one of its records."""

    instance: str
    seq: int
    digest: str


def content_digest(headers: RawHeaders, key: bytes, value: bytes) -> str:
    """Digest of what a record says: its identity, type, time, key and value; never of who wrote it."""
    attributes = dict(headers or ())
    hasher = hashlib.sha256()
    for part in (*(attributes.get(name) or b"" for name in _CONTENT_HEADERS), key, value):
        hasher.update(len(part).to_bytes(8, "big"))
        hasher.update(part)
    return hasher.hexdigest()[:DIGEST_CHARS]


def read_stamp(headers: RawHeaders) -> Stamp | None:
    """The stamp of a record; None where its producer writes none.

    Raises:  MalformedEventError: a stamp that cannot be read.
    """
    attributes = dict(headers or ())
    instance, seq, digest = (attributes.get(name) for name in ("ns_instance", "ns_seq", "ns_digest"))
    if instance is None or seq is None or digest is None:
        return None
    try:
        return Stamp(instance=instance.decode(), seq=int(seq), digest=digest.decode())
    except ValueError as error:
        message = f"The record's stamp headers ns_instance, ns_seq, ns_digest cannot be read: {error}."
        raise MalformedEventError(message) from error


class Stamper:
    """Counts the records of one producer's life. Not for several threads at once."""

    def __init__(self, instance: str) -> None:
        self.instance = f"{instance}/{new_id()}"
        self._next_seq = 0

    @property
    def next_seq(self) -> int:
        """The number that the next record gets."""
        return self._next_seq

    def stamp(self, encoded: Encoded) -> Encoded:
        """The record with the next number."""
        stamps = [
            ("ns_instance", self.instance.encode()),
            ("ns_seq", str(self._next_seq).encode()),
            ("ns_digest", content_digest(encoded.headers, encoded.key, encoded.value).encode()),
        ]
        self._next_seq += 1
        return replace(encoded, headers=[*encoded.headers, *stamps])

    def rewind(self, seq: int) -> None:
        """Give back the numbers from `seq` on: their records certainly never reach the log (an aborted transaction)."""
        self._next_seq = seq
