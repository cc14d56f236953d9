"""`SeenIds`: which record was the first with its id, of all that were ever archived.

Owns a RocksDB folder, which can always be built again from the files. An entry is the place of the first record, so a
record that is archived again after a crash finds itself, and is still the first. How often it was written to is in it
and in the manifest: an index that is older than its archive is not whole.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rocksdict import Options, Rdict, WriteBatch, WriteOptions

Place = tuple[int, int, int]  # epoch (files.py), partition, offset

_SEPARATOR = b"\0"
_NUM_NOTED = _SEPARATOR  # no topic has an empty name
# Kept in memory until they go to a file. RocksDB's own 64 MiB take 70 MiB more, and 2 µs less for an id.
_UNWRITTEN_BYTES = 2 * 1024 * 1024


class SeenIds:
    """Use it as a context; one process at a time. RocksDB's errors, which have no class, are raised as OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database: Rdict | None = None
        self._durable = WriteOptions()
        self._durable.sync = True

    def __enter__(self) -> Self:
        """Raises OSError: RocksDB cannot open the folder."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(_UNWRITTEN_BYTES)
        try:
            self._database = Rdict(str(self._folder), options)
        except Exception as error:
            raise OSError(f"{self._folder}: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    @property
    def num_noted(self) -> int:
        """How many times `note` was called since the beginning; 0 where that is not known: learn all again."""
        assert self._database is not None
        return int(self._database.get(_NUM_NOTED) or b"0")

    def clear(self) -> None:
        """Forget everything."""
        self.__exit__(None, None, None)
        shutil.rmtree(self._folder, ignore_errors=True)
        self.__enter__()

    def note(self, topic: str, event_ids: Sequence[str | None], places: Sequence[Place], num_noted: int) -> list[bool]:
        """Whether each record is the first with its id on its topic; a record without an event never is.

        Args:    event_ids, places: of each, in the order in which they lie in their partitions; num_noted: of this
                 call.
        """
        assert self._database is not None
        keys = [_key(topic, event_id) if event_id else b"" for event_id in event_ids]
        known = dict(zip(keys, self._database.get(keys), strict=True)) if keys else {}
        added: dict[bytes, bytes] = {_NUM_NOTED: str(num_noted).encode()}
        answers = []
        for key, at in zip(keys, map(_place, places), strict=True):
            if key and known[key] is None:
                known[key] = added[key] = at
            answers.append(bool(key) and known[key] == at)
        self._write(added)
        return answers

    def learn(self, firsts: Iterable[tuple[str, str, int, int, int]]) -> None:
        """Know first records again. Args: firsts: (topic, event id, epoch, partition, offset) of each."""
        self._write({_key(topic, event_id): _place((e, p, o)) for topic, event_id, e, p, o in firsts})

    def has_learnt(self, num_noted: int) -> None:
        """All is known again that was ever noted."""
        self._write({_NUM_NOTED: str(num_noted).encode()})

    def _write(self, added: dict[bytes, bytes]) -> None:
        batch: Any = WriteBatch(raw_mode=True)
        for key, value in added.items():
            batch.put(key, value)
        assert self._database is not None
        try:
            self._database.write(batch, self._durable)
        except Exception as error:
            raise OSError(f"{self._folder}: {error}") from error


def _key(topic: str, event_id: str) -> bytes:
    return topic.encode() + _SEPARATOR + event_id.encode()


def _place(place: Place) -> bytes:
    return b"%d/%d/%d" % place
