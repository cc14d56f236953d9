"""`run_archiver`: the component that keeps the archive up with Kafka.

Owns no state of its own: where to read on is in the archive's manifest, in one piece with the records, so that a crash
at any moment leaves neither a gap nor a repeat. Consumes every topic; unblocked by Kafka, or by SIGTERM.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from schemas.clock import now_ms
from schemas.errors import RetryableError
from schemas.events import SubjectErased
from streams.archive.manifest import Gap, Position
from streams.archive.rows import Rows
from streams.archive.writer import ArchiveWriter
from streams.config import ArchiveConfig, KafkaConfig
from streams.erasures import Erasure
from streams.heartbeat import Heartbeat
from streams.positions import Chunk, Partition, PositionedReader, Start, starts
from streams.recorded import is_restored_from
from streams.topics import TOPICS

POLL_S = 0.5
COLLECT_EVERY_OBJECTS = 200_000  # tens of MB; Python's own number is 700
MERGES_PER_FLUSH = 4  # as many as a flush makes necessary, on average, and some more
_LOGGER = logging.getLogger(__name__)


class StorageError(RetryableError):
    """The disk does not take more; the archive is as it was, and goes on from there when there is room."""


def run_archiver(
    config: ArchiveConfig, kafka: KafkaConfig, folder: Path, heartbeat: Path, stop: threading.Event
) -> None:
    """Archive until asked to stop; what has been read by then is written first.

    Raises:  BrokerUnavailableError: no answer at the start; FatalError: a topic is missing, or another process writes
             to this archive; StorageError: the disk is full.
    """
    with Heartbeat(heartbeat) as alive, _opened(config, kafka, folder, alive.progress) as archiver:
        while not stop.is_set():
            archiver.step()
            alive.progress()
        archiver.flush()


def catch_up(config: ArchiveConfig, kafka: KafkaConfig, folder: Path) -> None:
    """Archive all that Kafka has now, then end; for a stack that does not run.

    Raises:  as `run_archiver`.
    """
    with _opened(config, kafka, folder, lambda: None) as archiver:
        while not archiver.flush():
            while archiver.step():
                pass


@contextmanager
def _opened(
    config: ArchiveConfig, kafka: KafkaConfig, folder: Path, progress: Callable[[], None]
) -> "Iterator[Archiver]":
    try:
        with _rare_collections(), ArchiveWriter(folder, progress) as writer:
            writer.forget()  # what an earlier process had no time for
            found = starts(kafka, TOPICS, writer.known())
            reader = PositionedReader(kafka, {place: start.offset for place, start in found.items()})
            with closing(reader), ThreadPoolExecutor(max_workers=1, thread_name_prefix="archive-writer") as executor:
                yield Archiver(config, writer, reader, found, executor)
    except OSError as error:
        message = f"The archive {folder} cannot be written ({error.strerror or error}): make room on that disk."
        raise StorageError(message) from error


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Events hold no cycles, and thousands are held for a moment: looking for cycles took a quarter of the time."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Archiver:
    """Gathers records, and hands them to the archive when they are many or old enough.

    The archive is written by a thread of its own, since compression and the disk need no Python: meanwhile the next
    records are read. One set of records is written while one is gathered, never more: that bounds the memory. What goes
    wrong in that thread is raised here by the next flush; nothing is lost by it, as positions move with the records.
    """

    def __init__(
        self,
        config: ArchiveConfig,
        writer: ArchiveWriter,
        reader: PositionedReader,
        found: Mapping[Partition, Start],
        executor: Executor,
    ) -> None:
        """Args: executor: has one thread, in which alone the writer is used from now on."""
        self._config = config
        self._writer = writer
        self._reader = reader
        self._executor = executor
        self._writing: Future[None] | None = None
        self._archive_id = writer.manifest.archive_id
        self._starts = found
        self._gaps = _gaps(found)
        self._erasures = writer.manifest.erasures()
        self._asked: list[Erasure] = []
        self._rows = Rows()
        self._positions: dict[Partition, int] = {place: start.offset for place, start in found.items() if start.lost}
        self._flushed_s = time.monotonic()

    def step(self) -> bool:
        """Read what has come, and begin to write and tidy up if it is time. Returns: whether any record has come."""
        chunk = self._reader.read(POLL_S)
        self._gather(chunk)
        is_old = time.monotonic() - self._flushed_s >= self._config.flush_s
        if is_old or self._rows.num_bytes >= self._config.flush_mib * 1024 * 1024:
            self._begin_to_write(and_tidy_up=True)
        return bool(chunk.records)

    def flush(self) -> bool:
        """Write what is gathered. Returns: whether the archive now holds all that Kafka has."""
        is_complete = self._begin_to_write()
        self._wait()
        return is_complete

    def _begin_to_write(self, *, and_tidy_up: bool = False) -> bool:
        self._wait()
        asked_ms = now_ms()
        is_complete = self._reader.is_at_end()
        moved = [self._position(place, offset) for place, offset in self._positions.items()]
        append = partial(self._append, self._rows, moved, self._gaps, self._asked)
        complete_ms = asked_ms if is_complete else None
        self._writing = self._executor.submit(self._write, append, complete_ms, and_tidy_up=and_tidy_up)
        self._rows, self._positions, self._gaps, self._asked = Rows(), {}, [], []
        self._flushed_s = time.monotonic()
        return is_complete

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, append: Callable[[], None], complete_ms: int | None, *, and_tidy_up: bool) -> None:
        """One piece: after a failure nothing may move the archive on, or the next start takes its remains for files."""
        append()
        if complete_ms is not None:
            self._writer.mark_complete(complete_ms)
        if and_tidy_up:
            self._tidy_up()

    def _append(self, rows: Rows, moved: Sequence[Position], gaps: Sequence[Gap], asked: Sequence[Erasure]) -> None:
        if rows or moved or asked:
            self._writer.append(rows, moved, gaps=gaps, erasures=asked)
            self._writer.forget()

    def _tidy_up(self) -> None:
        for _ in range(MERGES_PER_FLUSH):
            if not self._writer.maintain():
                break

    def _position(self, place: Partition, offset: int) -> Position:
        start = self._starts[place]
        return Position(topic=place[0], partition=place[1], offset=offset, topic_id=start.topic_id, epoch=start.epoch)

    def _gather(self, chunk: Chunk) -> None:
        self._positions.update(chunk.positions)
        for record in chunk.records:
            if is_restored_from(self._archive_id, record.headers):
                continue
            if isinstance(record.event, SubjectErased) and self._erasures.add(erasure := Erasure.of(record.event)):
                self._asked.append(erasure)
            if (kept := self._erasures.apply(record)) is not None:
                self._rows.add(kept)


def _gaps(found: Mapping[Partition, Start]) -> Sequence[Gap]:
    gaps = []
    for (topic, partition), start in found.items():
        if start.lost is not None:
            first, last = start.lost
            _LOGGER.warning("Kafka deleted %s/%d %d to %d before they were archived", topic, partition, first, last)
            gaps.append(Gap(topic=topic, partition=partition, first=first, last=last, noted_ms=now_ms()))
    return gaps
