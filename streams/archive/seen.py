"""`SeenIds`: which record was the first with its id, of all that were ever archived.

Owns a RocksDB folder, which can always be built again from the files. An entry is the place of the first record, so a
record that is archived again after a crash finds itself, and is still the first.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rocksdict import Options, Rdict, WriteBatch

from streams.recorded import Recorded

_SEPARATOR = b"\0"


class SeenIds:
    """Use it as a context; one process at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database: Rdict | None = None

    def __enter__(self) -> Self:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._database = Rdict(str(self._folder), options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def note(self, records: Sequence[Recorded], epochs: Sequence[int]) -> list[bool]:
        """Whether each is the first record with its id on its topic; a record without an event never is.

        Args:    records: in the order in which they lie in their partitions; epochs: of each, see files.py.
        """
        assert self._database is not None
        keys = [_key(record.topic, record.event.id) if record.event else b"" for record in records]
        known = dict(zip(keys, self._database.get(keys), strict=True)) if keys else {}
        added = WriteBatch(raw_mode=True)
        answers = []
        for key, record, epoch in zip(keys, records, epochs, strict=True):
            place = _place(epoch, record.partition, record.offset)
            if key and known[key] is None:
                known[key] = place
                added.put(key, place)
            answers.append(bool(key) and known[key] == place)
        self._database.write(added)
        return answers

    def learn(self, firsts: Iterable[tuple[str, str, int, int, int]]) -> None:
        """Know first records again. Args: firsts: (topic, event id, epoch, partition, offset) of each."""
        assert self._database is not None
        added = WriteBatch(raw_mode=True)
        for topic, event_id, epoch, partition, offset in firsts:
            added.put(_key(topic, event_id), _place(epoch, partition, offset))
        self._database.write(added)

    def forget(self, records: Iterable[tuple[str, str]]) -> None:
        """Forget (topic, event id) pairs."""
        assert self._database is not None
        removed = WriteBatch(raw_mode=True)
        for topic, event_id in records:
            removed.delete(_key(topic, event_id))
        self._database.write(removed)


def _key(topic: str, event_id: str) -> bytes:
    return topic.encode() + _SEPARATOR + event_id.encode()


def _place(epoch: int, partition: int, offset: int) -> bytes:
    return f"{epoch}/{partition}/{offset}".encode()
