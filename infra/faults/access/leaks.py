"""`in_files`, `in_records`, `in_start`: whether a secret stands where none may.

A search that finds nothing may have looked at nothing. So each is told of a harmless word, and of the places that hold
it: where it does not find that either, what it says of secrets counts for nothing, and it says so.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import orjson

from infra.secrets import SECRETS, lookup
from schemas.events import RunConfigured
from streams.masking import MASK
from streams.recorded import Recorded

KEPT = {".jar", ".gguf", ".safetensors"}  # files that nobody writes a key to; large


def in_files(
    folder: Path, hidden: Mapping[str, str], *, own: Collection[Path], word: str, holders: Collection[Path]
) -> Iterator[str]:
    """What is wrong with the files below a folder, a sentence each.

    Args:    hidden: the secrets, by name; own: files that have to hold one; word: what the files `holders` hold.
    """
    blind = set(holders)
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file in own or file.suffix in KEPT:
            continue
        raw = file.read_bytes()
        yield from (f"{name} is in {file}." for name, secret in hidden.items() if secret.encode() in raw)
        if word.encode() in raw:
            blind.discard(file)
    yield from (f"The search of files does not find a word that is in {file}." for file in sorted(blind))


def in_records(
    records: Iterable[Recorded], hidden: Mapping[str, str], *, word: str, holders: Collection[str]
) -> Iterator[str]:
    """The same of records. Args: holders: the topics that hold the word."""
    blind = set(holders)
    for record in records:
        raw = repr((record.key, record.value, record.headers))
        yield from (f"{name} is in {record.topic}." for name, secret in hidden.items() if secret in raw)
        if word in raw:
            blind.discard(record.topic)
    yield from (f"The search of records does not find a word that is in {topic}." for topic in sorted(blind))


def in_start(records: Iterable[Recorded]) -> Iterator[str]:
    """Secrets that the event of a start does not show as set and hidden: one that was not set cannot have leaked."""
    events = [record.event for record in records if isinstance(record.event, RunConfigured)]
    if not events:
        yield "No start is recorded."
    for event in events:
        table = orjson.loads(event.settings)
        yield from (
            f"The event of a start does not show {secret.setting} as a secret that is set."
            for secret in SECRETS
            if lookup(table, secret.path) != MASK
        )
