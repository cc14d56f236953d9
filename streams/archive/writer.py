"""`ArchiveWriter`: adds records to an archive, each once, and keeps its files few.

Owns the archive's folder for as long as its context lasts: lock, manifest, files, views.sql and the index of ids. Every
change is a new manifest: files first, safe on disk, then the manifest that names them, so a crash leaves no half of
either. What a crash leaves behind is removed at the next start.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from schemas.clock import now_ms
from streams.archive.compaction import merge, next_merge, without
from streams.archive.files import (
    OWN,
    day_of,
    empty_path,
    read_tables,
    table_of,
    write_empty,
    write_file,
)
from streams.archive.manifest import (
    PARTIAL,
    ArchivedFile,
    Forgotten,
    Gap,
    Manifest,
    Position,
    Retired,
    read_manifest,
    write_manifest,
    write_safely,
    writing,
)
from streams.archive.seen import SeenIds
from streams.archive.views import views_script
from streams.erasures import Erasure
from streams.positions import Partition
from streams.recorded import Recorded
from streams.topics import BY_NAME, TOPICS

VIEWS = "views.sql"
SEEN = "seen-ids"
GRACE_MS = 15 * 60 * 1000  # how long a query may go on reading files that compaction has replaced


class ArchiveWriter:
    """Use it as a context."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = SeenIds(folder / SEEN)
        self._opened = ExitStack()
        self._manifest = Manifest()

    def __enter__(self) -> Self:
        """Raises FatalError: another process writes here; RejectedError: the manifest cannot be used."""
        with ExitStack() as opened:
            opened.enter_context(writing(self._folder))
            self._manifest = read_manifest(self._folder)
            self._remove_strays()
            self._open_seen(opened)
            write_empty(self._folder)
            write_manifest(self._folder, self._manifest)
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

    def known(self) -> dict[Partition, tuple[str, int]]:
        """(topic id, next offset to archive) of every partition that was archived before."""
        return {(at.topic, at.partition): (at.topic_id, at.offset) for at in self._manifest.positions}

    def append(
        self,
        records: Sequence[Recorded],
        positions: Mapping[Partition, tuple[str, int]],
        *,
        gaps: Sequence[Gap] = (),
        complete_ms: int | None = None,
        erasures: Iterable[Erasure] = (),
    ) -> None:
        """Adds records, and moves on, in one step.

        Args:    records: in the order in which they lie in their partitions; positions: (topic id, next offset) of the
                 partitions that moved; gaps: what Kafka no longer had; complete_ms: all that Kafka had then is here;
                 erasures: which are now to be done (`forget`).
        Raises:  OSError: the disk is full or gone; nothing has changed then, but for a file that nobody names.
        """
        moved = {(at.topic, at.partition): at for at in self._manifest.positions}
        for place, (topic_id, offset) in positions.items():
            moved[place] = _moved(place, topic_id, offset, moved.get(place))
        files = list(self._write(records, {place: at.epoch for place, at in moved.items()}))
        self._change(
            files=(*self._manifest.files, *files),
            positions=tuple(moved[place] for place in sorted(moved)),
            gaps=(*self._manifest.gaps, *gaps),
            complete_ms=self._manifest.complete_ms if complete_ms is None else complete_ms,
            forgotten=(*self._manifest.forgotten, *(Forgotten(erasure=one, done=False) for one in erasures)),
        )

    def forget(self) -> None:
        """Does the erasures that are not done: files are written again without them, and the old ones are gone at once.

        Raises:  OSError: the disk is full or gone; RejectedError: a file is damaged. The erasures stay to be done then.
        """
        if all(one.done for one in self._manifest.forgotten):
            return
        erasures = self._manifest.erasures()
        for file in self._manifest.files:
            if (kept := without(self._folder, file, erasures, f"{self._name()}-e")) is not file:
                self._replace([file], [] if kept is None else [kept])
        done = tuple(replace(one, done=True) for one in self._manifest.forgotten)
        gone = self._manifest.retired  # among them what was just replaced
        self._change(forgotten=done, retired=())
        for one in gone:
            (self._folder / one.path).unlink(missing_ok=True)

    def maintain(self) -> bool:
        """One piece of housekeeping: merge some small files, or remove what nobody reads any more.

        Returns: whether there may be more to do.
        Raises:  OSError: the disk is full or gone; nothing is lost.
        """
        today = day_of(now_ms())
        if files := next_merge(self._manifest.files, today):
            self._replace(files, [merge(self._folder, files, self._name())])
            return True
        self._remove_retired()
        return False

    def _replace(self, old: Sequence[ArchivedFile], new: Sequence[ArchivedFile]) -> None:
        files = list(self._manifest.files)
        place = files.index(old[0])
        kept = [*files[:place], *new, *files[place:]]
        retired = [Retired(path=file.path, since_ms=now_ms()) for file in old]
        self._change(files=tuple(file for file in kept if file not in old), retired=(*self._manifest.retired, *retired))

    def _write(self, records: Sequence[Recorded], epochs: Mapping[Partition, int]) -> Iterator[ArchivedFile]:
        def place(record: Recorded) -> tuple[str, str]:
            return record.topic, day_of(record.timestamp_ms)

        for number, ((topic, day), group) in enumerate(groupby(sorted(records, key=place), key=place)):
            some = list(group)  # still in their order: sorted() keeps it
            epoch = [epochs[topic, record.partition] for record in some]
            own = pa.Table.from_arrays(
                [pa.array(epoch, pa.int64()), pa.array(self._seen.note(some, epoch))], schema=OWN
            )
            part = table_of(BY_NAME[topic], some, own)
            yield write_file(self._folder, BY_NAME[topic], day, f"{self._name()}-{number:03}", [part])

    def _change(self, **changes: object) -> None:
        manifest = self._manifest.next(**changes)
        write_manifest(self._folder, manifest)
        has_other_files = manifest.files != self._manifest.files
        self._manifest = manifest
        if has_other_files:
            self._write_views()

    def _write_views(self) -> None:
        write_safely(self._folder / VIEWS, views_script(self._folder.absolute(), self._manifest).encode())

    def _name(self) -> str:
        return f"{self._manifest.generation + 1:09}"

    def _remove_strays(self) -> None:
        """What a crash left: files that were written, but never became part of the archive."""
        named = {
            *(file.path for file in self._manifest.files),
            *(file.path for file in self._manifest.retired),
            *(empty_path(topic) for topic in TOPICS),
        }
        for path in self._folder.rglob("*"):
            is_stray = path.suffix == ".parquet" and str(path.relative_to(self._folder)) not in named
            if is_stray or path.name.endswith(PARTIAL):
                path.unlink(missing_ok=True)

    def _remove_retired(self) -> None:
        past = now_ms() - GRACE_MS
        gone = [one for one in self._manifest.retired if one.since_ms <= past]
        if gone:
            self._change(retired=tuple(one for one in self._manifest.retired if one not in gone))
            for one in gone:
                (self._folder / one.path).unlink(missing_ok=True)

    def _open_seen(self, opened: ExitStack) -> None:
        is_lost = bool(self._manifest.files) and not (self._folder / SEEN).exists()
        try:
            opened.enter_context(self._seen)
        except Exception:  # RocksDB's own, of no class: damaged, so made again
            shutil.rmtree(self._folder / SEEN, ignore_errors=True)
            opened.enter_context(self._seen)
            is_lost = True
        if is_lost:
            self._learn_again()

    def _learn_again(self) -> None:
        for file in self._manifest.files:
            for part in read_tables(self._folder, file):
                firsts = part.filter(part["is_first"])
                columns = (firsts[name].to_pylist() for name in ("topic", "event_id", "epoch", "partition", "offset"))
                self._seen.learn(zip(*columns, strict=True))


def _moved(place: Partition, topic_id: str, offset: int, before: Position | None) -> Position:
    epoch = 0 if before is None else before.epoch + (before.topic_id != topic_id)
    return Position(topic=place[0], partition=place[1], offset=offset, topic_id=topic_id, epoch=epoch)
