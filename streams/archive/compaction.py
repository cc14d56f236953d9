"""`next_merge` and `merge`: many small files of a topic's day become one, so that readers open few; `without`: erasure.

Files of about one size are merged when there are enough of them, as in a log-structured merge tree, so that a record is
written again a few times in all, and not each time another one arrives. A day that is over is merged to the end. Files
with the columns of another release are made again with this one's.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from streams.archive.files import (
    OWN,
    read_tables,
    records_of,
    rows_of,
    schema_digest,
    topic_of,
    with_own,
    with_todays_columns,
    write_file,
)
from streams.archive.manifest import ArchivedFile
from streams.erasures import Erasures
from streams.topics import BATCHES, Topic

FULL_BYTES = 128 * 1024 * 1024  # a file of this size is left alone
FAN_IN = 8  # files of one size that are merged
_SMALLEST_BYTES = 64 * 1024  # smaller files all count as of one size


def next_merge(files: Iterable[ArchivedFile], today: str) -> list[ArchivedFile]:
    """Files to make one file of next, in the order of their records; none where all is well. Args: today: UTC day."""
    days: dict[tuple[str, str], list[ArchivedFile]] = defaultdict(list)
    for file in files:
        if file.schema != schema_digest(topic_of(file)):
            return [file]
        if file.size < FULL_BYTES:
            days[file.topic, file.day].append(file)
    for (_, day), small in days.items():
        if merged := _alike(small) or _rest(small, day, today):
            return merged
    return []


def merge(folder: Path, files: Sequence[ArchivedFile], name: str) -> ArchivedFile:
    """One file with the rows of all.

    Raises:  RejectedError: one of them is damaged; OSError: the disk is full or gone.
    """
    return write_file(folder, topic_of(files[0]), files[0].day, name, _parts(folder, files))


def without(folder: Path, file: ArchivedFile, erasures: Erasures, name: str) -> ArchivedFile | None:
    """The file itself where it holds nothing that is erased; else another with the rest; None where nothing is left.

    Raises:  as `merge`.
    """
    topic, is_changed, kept = topic_of(file), False, []
    if not _may_hold(folder, file, erasures):
        return file
    for part in _parts(folder, [file]):
        rest = _kept(topic, part, erasures)
        is_changed = is_changed or rest is not part
        kept.append(rest)
    if not is_changed:
        return file
    kept = [part for part in kept if part.num_rows]
    return write_file(folder, topic, file.day, name, kept) if kept else None


def _may_hold(folder: Path, file: ArchivedFile, erasures: Erasures) -> bool:
    """Whether a file may hold something erased, by columns that are quickly read; batches always may."""
    if topic_of(file) is BATCHES:
        return True
    for part in read_tables(folder, file, ["subject", "error"]):
        if part["error"].null_count < part.num_rows:
            return True
        if any(erasures.is_about(subject) for subject in pc.unique(part["subject"]).to_pylist()):
            return True
    return False


def _kept(topic: Topic, part: pa.Table, erasures: Erasures) -> pa.Table:
    """The rows that may be kept; the very same table where all may."""
    records = list(records_of(part))
    kept = [erasures.apply(record) for record in records]
    if all(one is record for one, record in zip(kept, records, strict=True)):
        return part
    own = part.select(OWN.names).filter(pa.array([one is not None for one in kept]))
    return with_own(topic, rows_of(topic, [one for one in kept if one is not None]), own)


def _parts(folder: Path, files: Sequence[ArchivedFile]) -> Iterator[pa.Table]:
    for file in files:
        topic = topic_of(file)
        is_todays = file.schema == schema_digest(topic)
        for part in read_tables(folder, file):
            yield part if is_todays else with_todays_columns(topic, part)


def _alike(files: Sequence[ArchivedFile]) -> list[ArchivedFile]:
    """The first run of neighbours of one size that is long enough: their records stay in order."""
    run: list[ArchivedFile] = []
    for file in files:
        run = [*run, file] if run and _level(run[0]) == _level(file) else [file]
        if len(run) == FAN_IN:
            return run
    return []


def _rest(files: Sequence[ArchivedFile], day: str, today: str) -> list[ArchivedFile]:
    """All small files of a day that is over, up to a full file."""
    if len(files) < 2 or not _is_over(day, today):
        return []
    merged: list[ArchivedFile] = []
    for file in files:
        if sum(one.size for one in merged) + file.size <= FULL_BYTES:
            merged.append(file)
        elif len(merged) > 1:
            break
        else:
            merged = [file]
    return merged if len(merged) > 1 else []


def _is_over(day: str, today: str) -> bool:
    try:
        return date.fromisoformat(day) < date.fromisoformat(today) - timedelta(days=1)
    except ValueError:  # a day that no calendar has
        return False


def _level(file: ArchivedFile) -> int:
    return max(0, math.ceil(math.log(file.size / _SMALLEST_BYTES, FAN_IN)))
