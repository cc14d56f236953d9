"""`run_archiver`: the component that keeps the archive up with Kafka.

Owns no state of its own: where to read on is in the archive's manifest, in one piece with the records, so that a crash
at any moment leaves neither a gap nor a repeat. Consumes every topic; unblocked by Kafka, or by SIGTERM.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from schemas.clock import now_ms
from schemas.errors import RetryableError
from schemas.events import SubjectErased
from streams.archive.manifest import Gap, Position
from streams.archive.writer import ArchiveWriter
from streams.config import ArchiveConfig, KafkaConfig
from streams.erasures import Erasure
from streams.heartbeat import Heartbeat
from streams.positions import Chunk, Partition, PositionedReader, Start, starts
from streams.recorded import Recorded, is_restored_from
from streams.topics import TOPICS

POLL_S = 0.5
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
            archiver.step()


@contextmanager
def _opened(
    config: ArchiveConfig, kafka: KafkaConfig, folder: Path, progress: Callable[[], None]
) -> "Iterator[Archiver]":
    try:
        with ArchiveWriter(folder, progress) as writer:
            writer.forget()  # what an earlier process had no time for
            found = starts(kafka, TOPICS, writer.known())
            reader = PositionedReader(kafka, {place: start.offset for place, start in found.items()})
            try:
                yield Archiver(config, writer, reader, found)
            finally:
                reader.close()
    except OSError as error:
        message = f"The archive {folder} cannot be written ({error.strerror or error}): make room on that disk."
        raise StorageError(message) from error


class Archiver:
    """Gathers records, and hands them to the archive when they are many or old enough."""

    def __init__(
        self, config: ArchiveConfig, writer: ArchiveWriter, reader: PositionedReader, found: Mapping[Partition, Start]
    ) -> None:
        self._config = config
        self._writer = writer
        self._reader = reader
        self._starts = found
        self._gaps = _gaps(found)
        self._erasures = writer.manifest.erasures()
        self._asked: list[Erasure] = []
        self._records: list[Recorded] = []
        self._positions: dict[Partition, int] = {place: start.offset for place, start in found.items() if start.lost}
        self._num_bytes = 0
        self._flushed_s = time.monotonic()

    def step(self) -> None:
        """Read what has come, and write or tidy up if it is time."""
        self._gather(self._reader.read(POLL_S))
        is_old = time.monotonic() - self._flushed_s >= self._config.flush_s
        if is_old or self._num_bytes >= self._config.flush_mib * 1024 * 1024:
            self.flush()
            for _ in range(MERGES_PER_FLUSH):
                if not self._writer.maintain():
                    break

    def flush(self) -> bool:
        """Write what is gathered. Returns: whether the archive now holds all that Kafka has."""
        asked_ms = now_ms()
        is_complete = self._reader.is_at_end()
        if self._records or self._positions or self._asked:
            moved = [self._position(place, offset) for place, offset in self._positions.items()]
            self._writer.append(self._records, moved, gaps=self._gaps, erasures=self._asked)
            self._writer.forget()
        if is_complete:
            self._writer.mark_complete(asked_ms)
        self._records, self._positions, self._gaps, self._asked, self._num_bytes = [], {}, [], [], 0
        self._flushed_s = time.monotonic()
        return is_complete

    def _position(self, place: Partition, offset: int) -> Position:
        start = self._starts[place]
        return Position(topic=place[0], partition=place[1], offset=offset, topic_id=start.topic_id, epoch=start.epoch)

    def _gather(self, chunk: Chunk) -> None:
        self._positions.update(chunk.positions)
        for record in chunk.records:
            if is_restored_from(self._writer.manifest.archive_id, record.headers):
                continue
            if isinstance(record.event, SubjectErased) and self._erasures.add(erasure := Erasure.of(record.event)):
                self._asked.append(erasure)
            if (kept := self._erasures.apply(record)) is not None:
                self._records.append(kept)
                self._num_bytes += len(kept.value)


def _gaps(found: Mapping[Partition, Start]) -> Sequence[Gap]:
    gaps = []
    for (topic, partition), start in found.items():
        if start.lost is not None:
            first, last = start.lost
            _LOGGER.warning("Kafka deleted %s/%d %d to %d before they were archived", topic, partition, first, last)
            gaps.append(Gap(topic=topic, partition=partition, first=first, last=last, noted_ms=now_ms()))
    return gaps
