"""`bench_questions`: how fast a long log answers, and how large it is, beside the same events as JSON lines.

Measured is the archive as its archiver leaves it, with some thousand records that came after the summary of turns. Not
measured is what the broker adds, which is asked only for what is not archived. Each ready question is asked once
unmeasured, then three times: the median. Of JSON lines each is asked once: they take long enough.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.bench.log.history import Pattern, Places
from streams.archive.manifest import Manifest, Position
from streams.archive.reading import Archive
from streams.archive.writer import ArchiveWriter
from streams.json_lines import JsonLines, write_json_lines
from streams.lineage import find, render_tree
from streams.query import LogQuery
from streams.questions import ready_questions, sql_of

_RECORDS_AT_ONCE = 40_000
_AFTER_SUMMARY = 4_000  # records; a running archiver's summary is as far behind, see streams/archive/writer.py
_TIMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question: seconds from the archive and from JSON lines, and the rows of its answer."""

    name: str
    archive_s: float
    json_s: float
    num_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionsTable:
    """Sizes in bytes, times in seconds."""

    num_events: int
    num_turns: int
    mix: dict[str, float]  # share of each topic
    archive_bytes: int
    json_bytes: int
    writing_s: float | None  # None: the archive was there already
    opening_s: float
    answers: tuple[Answer, ...]
    lineage_s: float
    lineage_lines: int


def bench_questions(pattern: Pattern, num_events: int, folder: Path, report: Callable[[str], None]) -> QuestionsTable:
    """Writes an archive of at least so many events and their JSON lines, or goes on with what is there, and asks.

    Args:    folder: 2.5 GB a million events, where those are like a demo's.
    """
    writing_s = write_history(pattern, num_events, folder / "archive", report)
    archive = Archive.read(folder / "archive")
    started_s = time.perf_counter()
    query = LogQuery(None, archive=archive)
    query.connection()
    opening_s = time.perf_counter() - started_s
    answers = {name: _ask(query, sql_of(name), _TIMES) for name, _ in ready_questions()}
    lineage_s, lines = _lineage(query)
    json_bytes, json_answers = _json_lines(query, folder / "json-lines", report)
    num_records = {topic: sum(file.rows for file in archive.manifest.of_topic(topic)) for topic in pattern.mix()}
    total = sum(num_records.values())
    return QuestionsTable(
        num_events=total,
        num_turns=num_records["actions"],
        mix={topic: num / total for topic, num in sorted(num_records.items(), key=lambda one: -one[1])},
        archive_bytes=_size(folder / "archive", archive.manifest),
        json_bytes=json_bytes,
        writing_s=writing_s,
        opening_s=opening_s,
        answers=tuple(
            Answer(name=name, archive_s=seconds, json_s=json_answers[name], num_rows=rows)
            for name, (seconds, rows) in answers.items()
        ),
        lineage_s=lineage_s,
        lineage_lines=lines,
    )


def write_history(pattern: Pattern, num_events: int, folder: Path, report: Callable[[str], None]) -> float | None:
    """An archive of so many events, compacted as its archiver would. Returns: seconds; None where it was there."""
    started_s = time.perf_counter()
    num_copies = -(-num_events // len(pattern))
    num_later = -(-_AFTER_SUMMARY // len(pattern))
    places = Places()
    with ArchiveWriter(folder) as writer:
        for at in writer.manifest.positions:
            places.ends[at.topic, at.partition] = at.offset
        done = sum(places.ends.values()) // len(pattern)
        if done >= num_copies:
            return None
        for end in _ends(done, num_copies - num_later, max(1, _RECORDS_AT_ONCE // len(pattern))):
            _append(writer, places, pattern, range(done, end), num_copies)
            done = end
            report(f"{done * len(pattern):,} of {num_copies * len(pattern):,} events are archived")
        while writer.maintain():
            pass
        _append(writer, places, pattern, range(done, num_copies), num_copies)
    return time.perf_counter() - started_s


def _ends(first: int, last: int, step: int) -> list[int]:
    return [*range(first + step, last, step), last] if first < last else []


def _append(writer: ArchiveWriter, places: Places, pattern: Pattern, numbers: range, num_copies: int) -> None:
    first_ms = pattern.start_ms - num_copies * pattern.span_ms  # the last copy ends where the recorded log begins
    records = [places.take(written) for number in numbers for written in pattern.copy(number, first_ms)]
    positions = [
        Position(topic=topic, partition=partition, offset=offset, topic_id="", epoch=0)
        for (topic, partition), offset in places.ends.items()
    ]
    writer.append(records, positions)


def _ask(query: LogQuery, sql: str, times: int) -> tuple[float, int]:
    """Median seconds, after one unmeasured time; and the number of rows."""
    num_rows = query.arrow(sql).num_rows
    return statistics.median(_seconds(partial(query.arrow, sql)) for _ in range(times)), num_rows


def _seconds(act: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    act()
    return time.perf_counter() - started_s


def _lineage(query: LogQuery) -> tuple[float, int]:
    """Of the checkpoint in the middle."""
    ((name,),) = query.sql(
        "SELECT policy || '@' || version FROM checkpoints ORDER BY version "
        "LIMIT 1 OFFSET (SELECT count(*) // 2 FROM checkpoints)"
    ).rows
    num_lines = len(render_tree(find(query, name)).splitlines())
    return statistics.median(_seconds(partial(find, query, name)) for _ in range(_TIMES)), num_lines


def _json_lines(query: LogQuery, folder: Path, report: Callable[[str], None]) -> tuple[int, dict[str, float]]:
    report("Writing the same events as JSON lines")
    folder.mkdir(parents=True, exist_ok=True)
    size = write_json_lines(query, folder)
    lines = JsonLines(folder, query)
    lines.connection()
    seconds = {}
    for name, _ in ready_questions():
        seconds[name] = _seconds(partial(lines.arrow, sql_of(name)))
        report(f"JSON lines answered {name} in {seconds[name]:.1f} s")
    return size, seconds


def _size(folder: Path, manifest: Manifest) -> int:
    paths = [file.path for file in manifest.files]
    paths += [file.path for file in manifest.summary.files] if manifest.summary else []
    return sum((folder / path).stat().st_size for path in paths)
