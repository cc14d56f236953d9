"""`Rows`: records on their way into the archive, as rows of its files, by topic and day.

Owns what is gathered between two flushes. Consumes records; produces a table per topic and day. Records become columns
some thousands at a time: as objects they take several times the memory, and the time to fill it and to look through it
for garbage.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import itemgetter

import pyarrow as pa

from streams.archive.files import day_of, rows_of
from streams.recorded import Recorded
from streams.topics import BY_NAME, Topic

_CHUNK_RECORDS = 512  # of a topic and day: with fewer, columns of a handful of rows cost more than they save
_CHUNK_BYTES = 16 * 1024 * 1024  # of records with large values: fewer
_Place = tuple[str, str]  # topic, day


class Rows:
    """Add to it, then read its tables."""

    def __init__(self, records: Iterable[Recorded] = ()) -> None:
        self.num_bytes = 0  # of values
        self._unread: defaultdict[_Place, list[Recorded]] = defaultdict(list)
        self._bytes_unread = 0
        self._parts: defaultdict[_Place, list[pa.Table]] = defaultdict(list)
        for record in records:
            self.add(record)

    def __bool__(self) -> bool:
        return bool(self._unread or self._parts)

    def add(self, record: Recorded) -> None:
        """One more; those of a partition in the order in which they lie there."""
        place = record.topic, day_of(record.timestamp_ms)
        alike = self._unread[place]
        alike.append(record)
        self._bytes_unread += len(record.value)
        self.num_bytes += len(record.value)
        if self._bytes_unread >= _CHUNK_BYTES:
            self._read_all()
        elif len(alike) >= _CHUNK_RECORDS:
            self._read(place)

    def tables(self) -> Iterator[tuple[Topic, str, pa.Table]]:
        """Topic, day and rows (`files.rows_of`), in the order of topics and days; partitions keep theirs."""
        self._read_all()
        for (topic, day), parts in sorted(self._parts.items(), key=itemgetter(0)):
            yield BY_NAME[topic], day, pa.concat_tables(parts)

    def _read_all(self) -> None:
        for place in list(self._unread):
            self._read(place)

    def _read(self, place: _Place) -> None:
        records = self._unread.pop(place)
        self._parts[place].append(rows_of(BY_NAME[place[0]], records))
        self._bytes_unread -= sum(len(record.value) for record in records)
