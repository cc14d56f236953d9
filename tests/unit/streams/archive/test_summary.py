from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_world import positions
from hypothesis import given, settings
from hypothesis import strategies as st
from made_log import MadeLog

from schemas.events import OutcomeReported, SubjectErased
from schemas.identity import subject_digest
from streams.archive import summary
from streams.archive import writer as writing
from streams.archive.manifest import SummaryFile, read_manifest
from streams.archive.reading import Archive
from streams.archive.turns import num_since
from streams.archive.writer import ArchiveWriter
from streams.erasures import Erasure
from streams.query import LogQuery
from streams.recorded import Recorded
from streams.tables import tables

DAY_MS = 24 * 60 * 60 * 1000


def busy() -> MadeLog:
    """Turns of two days, one of each fate; what is said of them comes long after them."""
    log = MadeLog()
    for number, a in enumerate(("a0", "a1", "a2", "a3", "a4", "a5")):
        own: dict[str, Any] = {"episode_id": "e1"} if a == "a4" else {}
        log.action(a, question=f"Question {a}?", time_ms=1_700_000_000_000 + number * DAY_MS // 3, **own)
    for a in ("a0", "a1", "a2", "a3", "a4"):
        log.next_state(a, f"Reply to {a}")
    log.transition("a3", kind="ended", id="ended-a3", next_messages=())
    for a in ("a0", "a1", "a2", "a3", "a4"):
        log.transition(a, reply=f"Reply to {a}")
        log.verdict(a, None if a == "a1" else -1)
        log.hint(a, f"hint for {a}")
    log.again()
    log.feedback("a2", 1)
    log.feedback("a2", -1, id="late-feedback-a2")
    log.skip("a1", "abstained_without_hint")
    log.skip("a3", "branch")
    log.sample("a0")
    log.sample("a2")
    log.verdict("a2", 1, id="second-verdict-a2")
    outcome = OutcomeReported(
        id="o1", time_ms=1_700_000_000_000, policy="assistant", conversation_id="e1", episode_id="e1", score=1.0,
        verifier="tests",
    )  # fmt: skip
    log.put("outcomes", outcome)
    log.batch("b1", "a0", "a2")
    log.checkpoint(1, {"b1": ("a0", "a2")})
    return log


def turns(query: LogQuery) -> list[tuple[Any, ...]]:
    return list(query.sql("FROM turns ORDER BY action_id").rows)


def write(folder: Path, records: list[Recorded], *, summarised: int, archived: int) -> LogQuery:
    """The first records are in the summary, more are archived, and the rest only the broker has."""
    with ArchiveWriter(folder) as writer:
        writer.append(records[:summarised], positions(records[:summarised]))
        writer.summarise()
        writer.append(records[summarised:archived], positions(records[summarised:archived]))
    return LogQuery(None, [lambda: tables(records[archived:])], archive=Archive.read(folder))


NUM_RECORDS = len(busy().records)


@settings(max_examples=8)
@given(counts=st.lists(st.integers(0, NUM_RECORDS), min_size=2, max_size=2).map(sorted))
def test_turns_are_the_same_wherever_the_summary_ends(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int]
) -> None:
    folder, log = tmp_path_factory.mktemp("archive"), busy()

    found = write(folder, log.as_sent(), summarised=counts[0], archived=counts[1])

    assert turns(found) == turns(log.query())


def test_a_summary_is_written_on_from_where_it_ends(tmp_path: Path) -> None:
    log = busy()
    records = log.as_sent()
    with ArchiveWriter(tmp_path) as writer:
        for end in range(10, len(records) + 10, 10):
            part = records[end - 10 : end]
            writer.append(part, positions(part))
            writer.summarise()
            assert num_since(writer.manifest) == 0
        found = writer.manifest.summary

    assert found is not None
    assert sum(file.rows for file in found.files) == 6
    assert turns(LogQuery(None, archive=Archive.read(tmp_path))) == turns(log.query())


def test_only_days_with_news_are_written_again(tmp_path: Path) -> None:
    records = busy().as_sent()
    with ArchiveWriter(tmp_path) as writer:
        writer.append(records, positions(records))
        writer.summarise()
        before = writer.manifest.summary
        log = busy()
        log.verdict("a5", 1, transition="transition-a5")
        late = log.as_sent()[-1:]
        writer.append(late, positions(late))
        writer.summarise()
        after = writer.manifest.summary

    assert before is not None
    assert after is not None
    assert [one == other for one, other in zip(before.files, after.files, strict=True)] == [True, True, False]
    assert [one.path for one in writer.manifest.retired] == [before.files[2].path]


def test_what_is_not_touched_is_read_and_not_joined(tmp_path: Path) -> None:
    records = busy().as_sent()
    write(tmp_path, records, summarised=len(records) - 1, archived=len(records))
    archive = Archive.read(tmp_path)
    assert archive.manifest.summary is not None
    for file in archive.manifest.summary.files:
        rows = pq.read_table(tmp_path / file.path)
        marked = pa.array(["written ahead"] * rows.num_rows)
        pq.write_table(
            rows.set_column(rows.schema.get_field_index("question"), "question", marked), tmp_path / file.path
        )

    found = LogQuery(None, archive=archive).sql(
        "SELECT action_id, question FROM turns WHERE question != 'written ahead'"
    )

    assert found.rows == (("a2", "Question a2?"),)  # the last record says that it has trained


def test_the_archiver_writes_it_on_when_there_is_enough_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = busy().as_sent()
    monkeypatch.setattr(writing, "SUMMARY_OFFSETS", len(records))
    with ArchiveWriter(tmp_path) as writer:
        writer.append(records[:-1], positions(records[:-1]))
        while writer.maintain():
            pass
        assert writer.manifest.summary is None
        writer.append(records[-1:], positions(records[-1:]))
        while writer.maintain():
            pass
        assert writer.manifest.summary is not None


def test_a_summary_of_another_release_is_not_used(tmp_path: Path) -> None:
    log = busy()
    records = log.as_sent()
    write(tmp_path, records, summarised=len(records), archived=len(records))
    archive = Archive.read(tmp_path)
    assert archive.manifest.summary is not None
    file = archive.manifest.summary.files[0]
    (tmp_path / file.path).write_bytes(b"columns of another release")

    other = replace(archive.manifest.summary, made_by="another release")
    found = LogQuery(None, archive=replace(archive, manifest=replace(archive.manifest, summary=other)))

    assert turns(found) == turns(log.query())


def test_an_erasure_takes_the_summary_with_it(tmp_path: Path) -> None:
    log = MadeLog()
    log.ready("a0", -1, "No lists.", question="secret words", answer="So.", reply="No.", subject="eve")
    log.ready("a1", 1, question="Why?", answer="So.", reply="Thanks!")
    records = log.as_sent()
    asked = SubjectErased(
        id="x", time_ms=2_000_000_000_000, policy="", conversation_id="", tenant="default",
        subject_digest=subject_digest("eve"),
    )  # fmt: skip
    with ArchiveWriter(tmp_path) as writer:
        writer.append(records, positions(records))
        writer.summarise()
        assert writer.manifest.summary is not None
        writer.append([], [], erasures=[Erasure.of(asked)])
        writer.forget()
        assert writer.manifest.summary is None
        assert list(tmp_path.glob("summary/day=*/*")) == []
        writer.summarise()

    assert len(turns(LogQuery(None, archive=Archive.read(tmp_path)))) == 1


def test_plain_duckdb_reads_the_summary(tmp_path: Path) -> None:
    records = busy().as_sent()
    write(tmp_path, records, summarised=len(records) - 1, archived=len(records))
    connection = duckdb.connect(":memory:")

    connection.execute((tmp_path / "views.sql").read_text())

    assert connection.sql("SELECT count(*) FROM turns").fetchall() == [(6,)]
    assert connection.sql("SELECT action_id FROM log.turns_since").fetchall() == [("a2",)]


def test_a_damaged_file_is_said_and_archiving_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = busy().as_sent()
    with ArchiveWriter(tmp_path) as writer:
        writer.append(records, positions(records))
        file = writer.manifest.of_topic("actions")[0]
        (tmp_path / file.path).write_bytes(b"damaged")
        writer.summarise()

    assert "summary of turns is not written on" in caplog.text
    assert read_manifest(tmp_path).summary is None


def test_a_summary_that_is_not_finished_leaves_no_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = busy().as_sent()
    write_day, days = summary._write_day, []

    def fails_on_the_second(*arguments: Any) -> SummaryFile:
        if days:
            raise duckdb.IOException("no space left")
        days.append(write_day(*arguments))
        return days[0]

    monkeypatch.setattr(summary, "_write_day", fails_on_the_second)
    with ArchiveWriter(tmp_path) as writer:
        writer.append(records, positions(records))
        writer.summarise()

    assert len(days) == 1
    assert list(tmp_path.glob("summary/day=*/*")) == []
