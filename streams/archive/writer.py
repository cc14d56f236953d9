"""`ArchiveWriter`: adds records to an archive, each once, and keeps its files few.

Owns the archive's folder for as long as its context lasts: lock, manifest, files, views.sql and the index of ids. Every
change is a new manifest: files first, safe on disk, then the manifest that names them, so a crash leaves no half of
either. What a crash leaves behind is removed at the next start.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from schemas.clock import now_ms
from schemas.errors import FatalError, RejectedError
from schemas.identity import new_id
from streams.archive.compaction import merge, next_merge, without
from streams.archive.files import (
    OWN,
    day_of,
    read_tables,
    with_own,
    write_empty,
    write_file,
)
from streams.archive.manifest import (
    MANIFEST,
    PARTIAL,
    ArchivedFile,
    Forgotten,
    Gap,
    Manifest,
    Position,
    Retired,
    Summary,
    read_manifest,
    write_complete_ms,
    write_manifest,
    write_safely,
    writing,
)
from streams.archive.rows import Rows
from streams.archive.seen import SeenIds
from streams.archive.summary import summarise
from streams.archive.turns import num_since
from streams.archive.views import views_script
from streams.erasures import Erasure
from streams.positions import Partition
from streams.recorded import Recorded
from streams.topics import BATCHES, Topic

_LOGGER = logging.getLogger(__name__)

VIEWS = "views.sql"
SEEN = "seen-ids"
SUMMARY_OFFSETS = 5_000  # how far a summary may be behind before it is worth to write it on
SUMMARY_PAUSE = 20  # times as long as a summary took, until the next one
GRACE_MS = 15 * 60 * 1000  # how long a query may go on reading files that compaction has replaced


class ArchiveWriter:
    """Use it as a context."""

    def __init__(self, folder: Path, progress: Callable[[], None] = lambda: None) -> None:
        """Args: progress: called now and then in long work."""
        self._folder = folder
        self._progress = progress
        self._damaged: set[str] = set()  # files that could not be merged
        self._next_summary_s = time.monotonic()
        self._seen = SeenIds(folder / SEEN)
        self._opened = ExitStack()
        self._manifest = Manifest()

    def __enter__(self) -> Self:
        """Raises FatalError: another process writes here; RejectedError: the manifest cannot be used."""
        with ExitStack() as opened:
            opened.enter_context(writing(self._folder))
            self._manifest = read_manifest(self._folder)
            self._refuse_headless()
            self._remove_strays()
            self._open_seen(opened)
            write_empty(self._folder)
            if not self._manifest.archive_id:
                self._manifest = replace(self._manifest, archive_id=new_id())
                write_manifest(self._folder, self._manifest)
                write_complete_ms(self._folder, 0)
            self._write_views()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened.close()

    @property
    def manifest(self) -> Manifest:
        """The archive as it is now."""
        return self._manifest

    def known(self) -> dict[Partition, Position]:
        """Where to read on, of every partition that was archived before."""
        return {(at.topic, at.partition): at for at in self._manifest.positions}

    def append(
        self,
        records: Iterable[Recorded] | Rows,
        positions: Iterable[Position],
        *,
        gaps: Sequence[Gap] = (),
        erasures: Iterable[Erasure] = (),
    ) -> None:
        """Adds records, and moves on, in one step.

        Args:    records: in the order in which they lie in their partitions; positions: where to read on, of the
                 partitions that moved; gaps: what Kafka no longer had; erasures: which are now to be done (`forget`).
        Raises:  OSError: the disk is full or gone; nothing has changed then, but for a file that nobody names.
        """
        rows = records if isinstance(records, Rows) else Rows(records)
        moved = self.known() | {(at.topic, at.partition): at for at in positions}
        num_noted = self._manifest.num_noted + 1
        files = list(self._write(rows, {place: at.epoch for place, at in moved.items()}, num_noted))
        self._change(
            files=(*self._manifest.files, *files),
            positions=tuple(moved[place] for place in sorted(moved)),
            gaps=(*self._manifest.gaps, *gaps),
            num_noted=num_noted if files else self._manifest.num_noted,
            forgotten=(*self._manifest.forgotten, *(Forgotten(erasure=one, done=False) for one in erasures)),
        )

    def mark_complete(self, complete_ms: int) -> None:
        """All that Kafka had at this time (epoch) is here."""
        write_complete_ms(self._folder, complete_ms)

    def forget(self) -> None:
        """Does the erasures that are not done: files are written again without them, and the old ones are gone at once.

        A damaged file is left as it is, and with it the erasure to be done.
        Raises:  OSError: the disk is full or gone; the erasures stay to be done then.
        """
        if all(one.done for one in self._manifest.forgotten):
            return
        self._take_summary(None)
        erasures, is_done = self._manifest.erasures(), True
        # Batches last: by then it is known which samples were erased.
        for file in sorted(self._manifest.files, key=lambda one: one.topic == BATCHES.name):
            try:
                kept = without(self._folder, file, erasures, f"{self._name()}-e")
            except RejectedError as error:
                _LOGGER.warning("an erasure cannot be done: %s", error)
                is_done = False
                continue
            if kept is not file:
                self._replace([file], [] if kept is None else [kept])
            self._progress()
        self._remove(self._manifest.retired)  # among them what was just replaced
        if is_done:
            self._change(forgotten=tuple(replace(one, done=True) for one in self._manifest.forgotten))

    def maintain(self) -> bool:
        """One piece of housekeeping: merge small files, write the summary on, or remove what nobody reads any more.

        Returns: whether there may be more to do.
        Raises:  OSError: the disk is full or gone; nothing is lost.
        """
        today = day_of(now_ms())
        whole = [file for file in self._manifest.files if file.path not in self._damaged]
        if files := next_merge(whole, today):
            self._merge(files)
            return True
        if num_since(self._manifest) >= SUMMARY_OFFSETS and time.monotonic() >= self._next_summary_s:
            self.summarise()
            return True
        past = now_ms() - GRACE_MS
        self._remove([one for one in self._manifest.retired if one.since_ms <= past])
        return False

    def summarise(self) -> None:
        """Writes the rows of the view `turns` ahead, of all that is archived.

        Raises:  OSError: the disk is full or gone; nothing is lost.
        """
        started_s = time.monotonic()
        try:
            self._take_summary(summarise(self._folder.absolute(), self._manifest, self._name(), self._progress))
        except duckdb.Error as error:  # archiving must go on; a reader meets the same, and tells its user
            _LOGGER.warning("the summary of turns is not written on: %s", error)
        ended_s = time.monotonic()
        self._next_summary_s = ended_s + SUMMARY_PAUSE * (ended_s - started_s)

    def _take_summary(self, summary: Summary | None) -> None:
        if summary is not self._manifest.summary:
            before = self._manifest.summary.files if self._manifest.summary else ()
            old = [file for file in before if summary is None or file not in summary.files]
            retired = [Retired(path=file.path, since_ms=now_ms()) for file in old]
            self._change(summary=summary, retired=(*self._manifest.retired, *retired))

    def _merge(self, files: Sequence[ArchivedFile]) -> None:
        try:
            self._replace(files, [merge(self._folder, files, self._name())])
        except RejectedError as error:  # archiving must go on; a reader meets the same, and tells its user
            _LOGGER.warning("files are not merged: %s", error)
            self._damaged.update(file.path for file in files)
        self._progress()

    def _replace(self, old: Sequence[ArchivedFile], new: Sequence[ArchivedFile]) -> None:
        files = list(self._manifest.files)
        place = files.index(old[0])
        kept = [*files[:place], *new, *files[place:]]
        retired = [Retired(path=file.path, since_ms=now_ms()) for file in old]
        self._change(files=tuple(file for file in kept if file not in old), retired=(*self._manifest.retired, *retired))

    def _write(self, rows: Rows, epochs: Mapping[Partition, int], num_noted: int) -> Iterator[ArchivedFile]:
        for number, (topic, day, part) in enumerate(rows.tables()):
            own = self._own(topic, part, epochs, num_noted)
            yield write_file(self._folder, topic, day, f"{self._name()}-{number:03}", [with_own(topic, part, own)])

    def _own(self, topic: Topic, rows: pa.Table, epochs: Mapping[Partition, int], num_noted: int) -> pa.Table:
        columns: Any = (rows[name].to_pylist() for name in ("event_id", "partition", "offset"))
        event_ids, partitions, offsets = columns
        epoch = [epochs[topic.name, number] for number in partitions]
        places = list(zip(epoch, partitions, offsets, strict=True))
        is_first = self._seen.note(topic.name, event_ids, places, num_noted)
        return pa.Table.from_arrays([pa.array(epoch, pa.int64()), pa.array(is_first, pa.bool_())], schema=OWN)

    def _change(self, **changes: object) -> None:
        manifest = self._manifest.next(**changes)
        write_manifest(self._folder, manifest)
        has_other_files = (manifest.files, manifest.summary) != (self._manifest.files, self._manifest.summary)
        self._manifest = manifest
        if has_other_files:
            self._write_views()

    def _write_views(self) -> None:
        write_safely(self._folder / VIEWS, views_script(self._folder.absolute(), self._manifest).encode())

    def _name(self) -> str:
        return f"{self._manifest.generation + 1:09}"

    def _remove_strays(self) -> None:
        """What a crash left: files that were written for the next generation, but never became part of the archive."""
        next_name = self._name()
        for path in (*self._folder.glob("*/day=*/*"), *self._folder.glob("*/*"), *self._folder.glob("*")):
            is_stray = path.parent.name.startswith("day=") and path.name.startswith(next_name)
            if path.is_file() and (is_stray or path.name.endswith(f".parquet{PARTIAL}")):
                path.unlink(missing_ok=True)

    def _remove(self, retired: Sequence[Retired]) -> None:
        """The files first, then their names: a file that no manifest names would stay for ever."""
        for one in retired:
            (self._folder / one.path).unlink(missing_ok=True)
        if retired:
            self._change(retired=tuple(one for one in self._manifest.retired if one not in retired))

    def _refuse_headless(self) -> None:
        """Raises FatalError where files lie here, but nothing says which of them are the archive."""
        has_files = next(self._folder.glob("topic=*/day=*/*.parquet"), None) is not None
        if has_files and not (self._folder / MANIFEST).exists():
            raise FatalError(
                f"{self._folder} has files of an archive, but no {MANIFEST}: bring it back from a copy of the archive, "
                "or name another folder with archive.folder."
            )

    def _open_seen(self, opened: ExitStack) -> None:
        try:
            opened.enter_context(self._seen)
        except OSError:  # damaged, perhaps: it can be made again
            shutil.rmtree(self._folder / SEEN, ignore_errors=True)
            opened.enter_context(self._seen)
        if self._seen.num_noted < self._manifest.num_noted:
            self._learn_again()

    def _learn_again(self) -> None:
        """Make the index of ids again: it is gone, or older than the archive."""
        self._seen.clear()
        names = ("topic", "event_id", "epoch", "partition", "offset")
        for file in self._manifest.files:
            for part in read_tables(self._folder, file, [*names, "is_first"]):
                firsts = part.filter(part["is_first"])
                self._seen.learn(zip(*(firsts[name].to_pylist() for name in names), strict=True))
            self._progress()
        self._seen.has_learnt(self._manifest.num_noted)
