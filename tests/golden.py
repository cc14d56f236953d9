"""Golden samples: a record of every form in which an event was ever written, and the event that it decodes to.

`python tests/golden.py` adds what is missing: a sample of each new event type, and of each type that is now written
with other fields than in all its samples. It never touches a sample that is there; SHA256SUMS says what each one was.

    tests/data/golden/<type>.json         the type's first form: a whole record, as its encoder wrote it
    tests/data/golden/<type>.form2.json   the same type with other fields (an optional one was added)
    tests/data/golden/decoded/            what each decodes to; changes only with a new major version of its event
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from example_events import BATCH, EXAMPLES, SAMPLE

from schemas.batch import EVENT_METADATA_KEY
from schemas.events import BatchSealed
from streams.codec import ARROW_CONTENT_TYPE, Headers, decode, decode_batch, encode, encode_batch
from streams.topics import TOPICS

FOLDER = Path(__file__).parent / "data" / "golden"
DECODED = "decoded"
SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A record as it was written."""

    topic: str
    key: bytes
    headers: Headers
    value: bytes

    @property
    def type(self) -> str:
        return dict(self.headers)["ce_type"].decode()

    @property
    def is_batch(self) -> bool:
        return dict(self.headers)["content-type"] == ARROW_CONTENT_TYPE

    @property
    def form(self) -> frozenset[str]:
        """The names of its fields; of a batch also those of its columns."""
        if not self.is_batch:
            return frozenset(orjson.loads(self.value))
        schema = pa.ipc.open_stream(self.value).schema
        event = orjson.loads((schema.metadata or {})[EVENT_METADATA_KEY])
        return frozenset({*event, *(f"samples.{name}" for name in schema.names)})

    def decoded(self) -> dict[str, Any]:
        """The event that it decodes to today, and of a batch the rows of its samples."""
        event = decode(self.headers, self.value)
        rows = {"samples": decode_batch(self.value)[1].to_pylist()} if self.is_batch else {}
        return {"type": event.type, "event": asdict(event), **rows}


def read_samples(folder: Path = FOLDER) -> dict[str, Sample]:
    """Every sample, by file name."""
    return {path.name: _read(path) for path in sorted(folder.glob("*.json"))}


def read_decoded(name: str) -> dict[str, Any]:
    """What a sample must decode to."""
    frozen: dict[str, Any] = orjson.loads((FOLDER / DECODED / name).read_bytes())
    return frozen


def written_now() -> Iterator[Sample]:
    """A record of each event type, as today's encoder writes it."""
    for event in EXAMPLES:
        topic = next(topic for topic in TOPICS if type(event) in topic.types)
        encoded = (
            encode_batch(BATCH, [SAMPLE], "golden")
            if isinstance(event, BatchSealed)
            else encode(topic, event, "golden")
        )
        yield Sample(topic=topic.name, key=encoded.key, headers=encoded.headers, value=encoded.value)


def missing(folder: Path = FOLDER) -> list[Sample]:
    """The records of `written_now` whose form has no sample."""
    known = {(sample.type, sample.form) for sample in read_samples(folder).values()}
    return [sample for sample in written_now() if (sample.type, sample.form) not in known]


def changed(folder: Path = FOLDER) -> set[str]:
    """The names of samples that are not what SHA256SUMS says: altered, gone, or not listed."""
    return set(dict(_sums(folder).items() ^ _digests(folder).items()))


def add_missing(folder: Path = FOLDER) -> None:
    """Write the samples that are missing, their digests, and what they decode to."""
    (folder / DECODED).mkdir(parents=True, exist_ok=True)
    sums = _sums(folder)
    for sample in missing(folder):
        name = next(name for name in _names(sample.type) if not (folder / name).exists())
        (folder / name).write_bytes(_dumps(_as_json(sample)))
        sums.setdefault(name, _digests(folder)[name])  # what was there once is not replaced: `changed` will name it
    (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
    for name, sample in read_samples(folder).items():
        if not (folder / DECODED / name).exists():
            (folder / DECODED / name).write_bytes(_dumps(sample.decoded()))


def _names(event_type: str) -> Iterator[str]:
    """File names for the forms of a type, in the order in which they came to be."""
    yield f"{event_type}.json"
    yield from (f"{event_type}.form{number}.json" for number in count(2))


def _as_json(sample: Sample) -> dict[str, Any]:
    """JSON values stay text, byte by byte, so that a reviewer can read them; Arrow is base64."""
    value = {"value_base64": b64encode(sample.value).decode()} if sample.is_batch else {"value": sample.value.decode()}
    headers = {name: raw.decode() for name, raw in sample.headers}
    return {"topic": sample.topic, "key": sample.key.decode(), "headers": headers, **value}


def _read(path: Path) -> Sample:
    record = orjson.loads(path.read_bytes())
    return Sample(
        topic=record["topic"],
        key=record["key"].encode(),
        headers=[(name, text.encode()) for name, text in record["headers"].items()],
        value=record["value"].encode() if "value" in record else b64decode(record["value_base64"]),
    )


def _sums(folder: Path) -> dict[str, str]:
    """As `sha256sum -c` reads them. Returns: file name -> digest."""
    path = folder / SUMS
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.json")}


def _dumps(document: object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    add_missing()
