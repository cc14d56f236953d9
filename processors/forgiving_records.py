"""`ForgivingRecords`: aiokafka's reader of fetched bytes, which one record can no longer stop for good.

aiokafka reads the names of headers strictly: a record of which one is no UTF-8 raises in the fetcher, at every fetch,
and nothing behind it is delivered any more. Here such a batch of records is read once more, by aiokafka's reader in
Python, with what is no UTF-8 as lone surrogates: a name that `streams.recorded.record_of` refuses.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


def forgive_header_names() -> None:
    """From now on every consumer of aiokafka in this process reads so."""
    fetcher.MemoryRecords = ForgivingRecords


class ForgivingRecords:
    """Batches of records in the bytes of one fetch, as aiokafka's fetcher asks for them."""

    def __init__(self, fetched: bytes) -> None:
        self._batches = _MemoryRecordsPy(fetched)

    def size_in_bytes(self) -> int:
        """Of all."""
        size: int = self._batches.size_in_bytes()
        return size

    def has_next(self) -> bool:
        """Whether there is another batch."""
        has_next: bool = self._batches.has_next()
        return has_next

    def next_batch(self) -> Any:
        """The next one."""
        raw = self._batches._next_slice  # noqa: SLF001 - what next_batch is made of
        batch = self._batches.next_batch()
        return _ForgivingBatch(batch, bytes(raw)) if isinstance(batch, DefaultRecordBatch) else batch


class _ForgivingBatch:
    """A batch whose records are read strictly, and leniently from the first one on that cannot be."""

    def __init__(self, batch: Any, raw: bytes) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)  # of a control batch

    def __iter__(self) -> Iterator[Any]:
        last_offset = -1
        try:
            for record in self._batch:
                last_offset = record.offset
                yield record
        except UnicodeDecodeError:
            yield from (record for record in self._read_leniently() if record.offset > last_offset)

    def _read_leniently(self) -> Iterator[Any]:
        batch = _DefaultRecordBatchPy(self._raw)
        batch._maybe_uncompress()  # noqa: SLF001 - before its bytes are replaced
        batch._buffer = _Lenient(batch._buffer)  # noqa: SLF001 - aiokafka has no other way
        return iter(batch)


class _Lenient(bytes):
    """Bytes whose parts decode whatever they are."""

    __slots__ = ()

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        return _Lenient(part) if isinstance(part, bytes) else part

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)
