"""`Manifest`: which files an archive consists of, and up to which record of Kafka it reaches.

The manifest is the archive: a file that it does not name does not exist, however whole it looks. It is replaced as one
file, after what it names is safe on disk, so a crash at any moment leaves the archive as it was or as it should be.
Owns `manifest.json` and its lock. Imports no Kafka and no DuckDB: whoever reads an archive starts here.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from schemas.errors import FatalError, RejectedError
from streams.erasures import Erasure, Erasures
from streams.failpoints import failpoint

FORMAT = 1
MANIFEST = "manifest.json"
COMPLETE = "complete.json"
LOCK = "lock"
PARTIAL = ".partial"  # ends the name of a file that is being written


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The offsets of one partition between which a file holds every committed record."""

    partition: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedFile:
    """One Parquet file: records of one topic that Kafka took on one day."""

    path: str  # below the archive's folder
    topic: str
    day: str  # UTC, e.g. 2026-01-31
    rows: int
    size: int  # bytes
    schema: str  # digest of its columns, see files.py
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The next offset to archive of one partition, and which topic it is an offset of."""

    topic: str
    partition: int
    offset: int
    topic_id: str  # Kafka's own; a topic that was deleted and made again counts from 0 again
    epoch: int  # how often the offsets of this partition have begun anew before


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Records that Kafka deleted before they were archived: nobody can bring them back."""

    topic: str
    partition: int
    first: int
    last: int
    noted_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A file that is no longer part of the archive, and goes when nobody can still be reading it."""

    path: str
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """An erasure that the archive knows of. `done`: no file holds anything of it any more."""

    erasure: Erasure
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryFile:
    """One Parquet file: rows of `turns`, of actions of one day."""

    path: str  # below the archive's folder
    day: str  # UTC, of the actions' own time
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The view `turns` over all records before some positions, written down (summary.py)."""

    made_by: str  # digest of the SQL: another release's view has other columns
    files: tuple[SummaryFile, ...]
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One state of an archive.

    `archive_id` tells its restored records from another archive's; `num_noted` is how many times ids were noted as seen
    (seen.py).
    """

    format: int = FORMAT
    archive_id: str = ""
    generation: int = 0
    num_noted: int = 0
    positions: tuple[Position, ...] = ()
    gaps: tuple[Gap, ...] = ()
    files: tuple[ArchivedFile, ...] = ()
    retired: tuple[Retired, ...] = ()
    forgotten: tuple[Forgotten, ...] = ()
    summary: Summary | None = None

    def of_topic(self, topic: str) -> list[ArchivedFile]:
        """The files of a topic, in the order of their records."""
        return [file for file in self.files if file.topic == topic]

    def erasures(self) -> Erasures:
        """What was erased."""
        return Erasures.of(one.erasure for one in self.forgotten)

    def next(self, **changes: object) -> "Manifest":
        """The state after this one."""
        return replace(self, generation=self.generation + 1, **changes)  # type: ignore[arg-type]


def read_manifest(folder: Path) -> Manifest:
    """The archive as it is now; an empty one, without an id, where there is none yet.

    Raises:  RejectedError: the manifest cannot be read, or a newer release has written it.
    """
    path = folder / MANIFEST
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return Manifest()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"{path} is not the manifest of an archive ({error}); bring it back from a copy of the archive."
        raise RejectedError(message) from error
    if found.format != FORMAT:
        message = f"{path} has format {found.format}, this release reads {FORMAT}: install the newer nextstate."
        raise RejectedError(message)
    return found


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Makes this state the archive's, as a whole or not at all. Its files must be safe on disk (`make_safe`)."""
    write_safely(folder / MANIFEST, msgspec.json.encode(manifest))
    failpoint("archiver.manifest-written")


def read_complete_ms(folder: Path) -> int:
    """When the archive last held all that Kafka had (epoch); 0: never yet."""
    try:
        return int(msgspec.json.decode((folder / COMPLETE).read_bytes())["complete_ms"])
    except (FileNotFoundError, msgspec.MsgspecError, KeyError):
        return 0


def write_complete_ms(folder: Path, complete_ms: int) -> None:
    """A file of its own: it changes all the time, also where nothing else does."""
    write_safely(folder / COMPLETE, msgspec.json.encode({"complete_ms": complete_ms}))


def write_safely(path: Path, data: bytes) -> None:
    """Replaces a file's content as a whole."""
    partial = path.with_name(path.name + PARTIAL)
    partial.write_bytes(data)
    make_safe(partial, path)


def make_safe(partial: Path, path: Path) -> None:
    """Gives a finished file its name; both survive a power cut from then on."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    failpoint("archiver.before-rename")
    partial.replace(path)
    failpoint("archiver.renamed")
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Only one process at a time may change an archive.

    Raises:  FatalError: another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"Another process writes to the archive {folder}: stop the stack that uses it (nextstate down)."
            raise FatalError(message) from error
        yield
