"""`Spool`: a bounded queue of records on the local disk, for as long as Kafka cannot take them.

Owns one file. Each record is framed as `length, crc32, bytes` and fsynced before `append` returns, so a record is
either whole or, after a crash in the middle of its append, cut off at the next open (what is cut is set aside in
`<name>.cut`, never thrown away). Delivered records are forgotten in memory only, and the file is emptied when all are:
a crash in between delivers some again, under their own ids.

Blocking and safe for several threads; streams/recorder.py calls it off the event loop.
"""

import errno
import fcntl
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from schemas.errors import FatalError, SpoolFullError
from streams.failpoints import failpoint

_LOGGER = logging.getLogger(__name__)
_FRAME = struct.Struct(">II")  # length in bytes, crc32 of them


class SpoolTakenError(FatalError):
    """Another process has this spool."""


class Spool:
    """Records wait here in order. `open` first; one process at a time."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._head = 0  # where the oldest record begins that is not delivered
        self._end = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes of records that wait, frames included."""
        return self._end - self._head

    def __enter__(self) -> "Spool":
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Take the file and find what an earlier process has left in it.

        Raises:  SpoolTakenError; FatalError: it cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file, self._head, self._end = self._path.open("a+b", buffering=0), 0, 0
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sync_folder(self._path.parent)
            for end, _ in self._frames(0, os.fstat(self._file.fileno()).st_size):
                self._end = end
            self._cut_torn_tail()
        except BlockingIOError as error:
            self.close()
            message = f"Another process writes the spool {self._path}; give each gateway its own."
            raise SpoolTakenError(message) from error
        except OSError as error:
            self.close()
            message = f"The spool {self._path} cannot be written: {error.strerror}; {_fix(error)}."
            raise FatalError(message) from error

    def append(self, *records: bytes) -> None:
        """Keep records, none of them empty; all are on the disk when this returns, for one fsync.

        Raises:  SpoolFullError: no room for all, by the limit or on the disk; none is kept.
        """
        frames = b"".join(_FRAME.pack(len(record), zlib.crc32(record)) + record for record in records)
        with self._lock:
            if self._end + len(frames) > self._max_bytes:
                message = f"The spool {self._path} is full ({self._max_bytes} bytes); bring Kafka back."
                raise SpoolFullError(message)
            try:
                self._write(frames)
            except OSError as error:
                os.ftruncate(self._opened().fileno(), self._end)
                message = f"The spool {self._path} cannot grow: {error.strerror}; {_fix(error)}."
                raise SpoolFullError(message) from error
            self._end += len(frames)
        failpoint("spool.synced")

    def replay(self) -> Iterator[tuple[int, bytes]]:
        """The waiting records, oldest first, each with the position to `drop` when it is delivered."""
        return self._frames(self._head, self._end)

    def drop(self, position: int) -> None:
        """Forget the records before this position; the file is emptied where none is left."""
        with self._lock:
            self._head = position
            if self._head == self._end:
                os.ftruncate(self._opened().fileno(), 0)
                os.fsync(self._opened().fileno())
                self._head = self._end = 0

    def set_aside(self, data: bytes) -> None:
        """Keep what cannot be delivered for a person to look at."""
        aside = self._path.with_name(f"{self._path.name}.cut")
        with aside.open("ab") as cut:
            cut.write(data)
            cut.flush()
            os.fsync(cut.fileno())
        _LOGGER.warning("%d bytes of spool %s that cannot be delivered lie in %s", len(data), self._path, aside.name)

    def close(self) -> None:
        """Let go of the file; what waits in it stays."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            message = f"The spool {self._path} is not open."
            raise FatalError(message)
        return self._file

    def _write(self, frames: bytes) -> None:
        file, left = self._opened(), memoryview(frames)
        while left:
            left = left[file.write(left) :]
        failpoint("spool.before-fsync")
        os.fsync(file.fileno())

    def _frames(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Whole, undamaged records from `start`, up to `end` or the first that is neither (zeros are none, too)."""
        file = self._opened().fileno()
        while start + _FRAME.size <= end:
            head = os.pread(file, _FRAME.size, start)
            if len(head) != _FRAME.size:  # emptied since
                return
            length, checksum = _FRAME.unpack(head)
            record = os.pread(file, length, start + _FRAME.size)
            if not length or len(record) != length or zlib.crc32(record) != checksum:
                return
            start += _FRAME.size + length
            yield start, record

    def _cut_torn_tail(self) -> None:
        file = self._opened().fileno()
        if torn := os.pread(file, os.fstat(file).st_size - self._end, self._end):
            self.set_aside(torn)
            os.ftruncate(file, self._end)
            os.fsync(file)


def _fix(error: OSError) -> str:
    """What a person can do about an error of the disk."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "make room on the disk"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "make its folder writable"
        case _:
            return "check the disk and the path"


def _sync_folder(folder: Path) -> None:
    """Make the file's own entry survive a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
