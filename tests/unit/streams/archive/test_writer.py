import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from archive_world import archive, positions, taught
from made_log import MadeLog

from schemas.errors import FatalError, RejectedError
from streams.archive import compaction, files
from streams.archive import writer as writing
from streams.archive.compaction import FAN_IN, next_merge
from streams.archive.files import day_of, read_tables, records_of
from streams.archive.manifest import COMPLETE, MANIFEST, ArchivedFile, read_manifest
from streams.archive.reading import Archive
from streams.archive.writer import ArchiveWriter
from streams.query import LogQuery
from streams.recorded import Recorded
from streams.tables import tables

DAY_MS = 24 * 60 * 60 * 1000


def archived(folder: Path) -> list[Recorded]:
    manifest = read_manifest(folder)
    return [one for file in manifest.files for part in read_tables(folder, file) for one in records_of(part)]


def by_place(records: Sequence[Recorded]) -> list[Recorded]:
    return sorted(records, key=lambda one: (one.topic, one.partition, one.offset))


def query(folder: Path, *tail: Recorded) -> LogQuery:
    return LogQuery(None, [lambda: tables(tail)], archive=Archive.read(folder))


def test_records_come_back_byte_for_byte_and_decoded(tmp_path: Path) -> None:
    sent = taught().as_sent()
    archive(tmp_path, sent)

    assert by_place(archived(tmp_path)) == by_place(sent)


def test_one_that_does_not_decode_comes_back_too(tmp_path: Path) -> None:
    log = MadeLog()
    log.broken("hints")
    log.hint("a")
    archive(tmp_path, log.records)

    broken, hint = archived(tmp_path)
    assert (broken.offset, broken.event) == (0, None)
    assert hint.offset == 1
    assert query(tmp_path).sql('SELECT topic, "offset" FROM undecodable WHERE "offset" = 0').rows == (("hints", 0),)


@pytest.mark.parametrize("num_archived", [0, 1, 5, 12, 100])
def test_archive_and_tail_answer_as_the_whole_log(tmp_path: Path, num_archived: int) -> None:
    log = taught()
    sent = log.as_sent()
    archive(tmp_path, sent[:num_archived])
    split = query(tmp_path, *sent[num_archived:])

    for view in ("turns", "learning", "untrained", "lineage", "current_policies", "duplicates"):
        assert split.sql(f"FROM {view} ORDER BY ALL") == LogQuery(None, [lambda: tables(sent)]).sql(
            f"FROM {view} ORDER BY ALL"
        )


def test_a_second_record_of_an_id_is_a_duplicate_wherever_it_lies(tmp_path: Path) -> None:
    log = MadeLog()
    log.verdict("a", 1)
    log.again()
    log.again()
    first, second, third = log.as_sent()
    archive(tmp_path, [first], [second])
    found = query(tmp_path, third)

    assert found.sql('SELECT "offset" FROM verdicts').rows == ((0,),)
    assert found.sql('SELECT "offset" FROM duplicates ORDER BY 1').rows == ((1,), (2,))


def test_a_lost_index_of_ids_is_made_again(tmp_path: Path) -> None:
    log = MadeLog()
    log.verdict("a", 1)
    log.again()
    first, second = log.as_sent()
    archive(tmp_path, [first])
    shutil.rmtree(tmp_path / writing.SEEN)
    archive(tmp_path, [second])

    assert query(tmp_path).sql('SELECT "offset" FROM verdicts').rows == ((0,),)


def test_what_a_crash_left_is_removed_and_archived_again_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = taught().as_sent()
    archive(tmp_path, sent[:5])

    def crash(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_manifest", crash)
        with pytest.raises(RuntimeError):
            archive(tmp_path, sent[5:])
    assert by_place(archived(tmp_path)) == by_place(sent[:5])
    (tmp_path / "topic=hints" / "half.parquet.partial").write_bytes(b"PAR1")
    archive(tmp_path, sent[5:])

    assert by_place(archived(tmp_path)) == by_place(sent)
    assert query(tmp_path).sql("FROM duplicates").rows == ()
    on_disk = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/day=*/*")}
    assert on_disk == {file.path for file in read_manifest(tmp_path).files}


def test_many_small_files_become_few_and_hold_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MadeLog()
    for number in range(3 * FAN_IN):
        log.hint(f"a{number}")
    sent = log.as_sent()
    archive(tmp_path, *([one] for one in sent))
    with ArchiveWriter(tmp_path) as writer:
        before = len(writer.manifest.files)
        while writer.maintain():
            pass
        after = writer.manifest
        assert len(after.files) < before
        assert all((tmp_path / one.path).exists() for one in after.retired)  # somebody may be reading them
        assert archived(tmp_path) == sent
        monkeypatch.setattr(writing, "GRACE_MS", -1)
        writer.maintain()
        assert not any((tmp_path / one.path).exists() for one in after.retired)
    assert archived(tmp_path) == sent


def test_files_with_the_columns_of_another_release_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = taught().as_sent()
    with monkeypatch.context() as patch:
        patch.setattr(files, "schema_digest", lambda topic: "of another release")
        archive(tmp_path, sent)
    with ArchiveWriter(tmp_path) as writer:
        while writer.maintain():
            pass
        assert {file.schema for file in writer.manifest.files} == {
            files.schema_digest(files.topic_of(file)) for file in writer.manifest.files
        }
    assert by_place(archived(tmp_path)) == by_place(sent)


def a_file(number: int, day: str = "2026-01-01", size: int = 1000) -> ArchivedFile:
    digest = files.schema_digest(files.BY_NAME["hints"])
    path = f"topic=hints/day={day}/{number}.parquet"
    return ArchivedFile(path=path, topic="hints", day=day, rows=1, size=size, schema=digest, spans=())


def test_a_day_that_is_over_is_merged_to_the_end_and_today_is_not() -> None:
    small = [a_file(number) for number in range(3)]

    assert next_merge(small, "2026-01-01") == []
    assert next_merge(small, "2026-01-02") == []
    assert next_merge(small, "2026-01-03") == small
    assert next_merge([a_file(0), a_file(1, size=compaction.FULL_BYTES)], "2026-01-03") == []
    assert next_merge([a_file(0, day="unknown"), a_file(1, day="unknown")], "2026-01-03") == []


@pytest.mark.parametrize(("timestamp_ms", "day"), [(0, "1970-01-01"), (-1, "1969-12-31"), (2**62, "unknown")])
def test_a_clock_that_jumped_gives_a_day_all_the_same(timestamp_ms: int, day: str) -> None:
    assert day_of(timestamp_ms) == day


def test_a_record_of_an_impossible_time_is_archived(tmp_path: Path) -> None:
    log = MadeLog()
    log.hint("a")
    (record,) = log.as_sent()
    archive(tmp_path, [replace(record, timestamp_ms=2**62)])
    assert [one.timestamp_ms for one in archived(tmp_path)] == [2**62]


def test_plain_duckdb_reads_the_views(tmp_path: Path) -> None:
    archive(tmp_path / "it's", taught().as_sent())
    plain = duckdb.connect()
    plain.execute((tmp_path / "it's" / "views.sql").read_text())

    learning = plain.sql("SELECT version, turns, mean_score FROM learning ORDER BY 1").fetchall()
    assert learning == [(0, 2, 0.0), (1, 1, None)]
    assert plain.sql("SELECT count(*) FROM records").fetchall() == [(len(taught().records),)]
    assert plain.sql("SELECT age_seconds FROM archive_age").fetchall()


def test_an_archive_whose_age_nobody_knows_is_read_all_the_same(tmp_path: Path) -> None:
    archive(tmp_path, taught().as_sent())
    (tmp_path / COMPLETE).unlink()

    assert query(tmp_path).sql("SELECT count(*) FROM actions").rows == ((3,),)
    archive(tmp_path)
    assert duckdb.connect().execute((tmp_path / "views.sql").read_text())


def test_an_empty_archive_has_every_view(tmp_path: Path) -> None:
    archive(tmp_path)

    assert query(tmp_path).sql("FROM learning").rows == ()
    assert duckdb.connect().execute((tmp_path / "views.sql").read_text())


def test_only_one_process_writes(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path), pytest.raises(FatalError, match="Another process writes"), ArchiveWriter(tmp_path):
        pass


def test_a_manifest_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(RejectedError, match=r"manifest\.json is not the manifest"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text('{"format": 99}')
    with pytest.raises(RejectedError, match="format 99"):
        read_manifest(tmp_path)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    archive(tmp_path, taught().as_sent())
    file = next(file for file in read_manifest(tmp_path).files if file.topic == "actions")
    path = tmp_path / file.path
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(RejectedError, match=path.name):
        list(read_tables(tmp_path, file))
    with pytest.raises(RejectedError, match=path.name):
        query(tmp_path).sql("FROM actions")


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = taught().as_sent()
    archive(tmp_path, sent[:5])

    class Full(pq.ParquetWriter):
        def write_table(self, *_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, ArchiveWriter(tmp_path) as writer:
        patch.setattr(files.pq, "ParquetWriter", Full)
        with pytest.raises(OSError, match="No space"):
            writer.append(sent[5:], positions(sent[5:]))
    archive(tmp_path, sent[5:])
    assert by_place(archived(tmp_path)) == by_place(sent)


def test_files_without_their_manifest_are_left_alone(tmp_path: Path) -> None:
    archive(tmp_path, taught().as_sent())
    before = set(tmp_path.rglob("*.parquet"))
    (tmp_path / MANIFEST).unlink()

    with pytest.raises(FatalError, match=r"but no manifest\.json: bring it back"):
        archive(tmp_path)
    assert set(tmp_path.rglob("*.parquet")) == before


def test_an_older_manifest_and_files_of_others_cost_nothing(tmp_path: Path) -> None:
    sent = taught().as_sent()
    archive(tmp_path, sent[:5])
    older = (tmp_path / MANIFEST).read_bytes()
    for part in (sent[5:7], sent[7:]):
        archive(tmp_path, part)
    (tmp_path / "mine.parquet").write_bytes(b"mine")
    before = set(tmp_path.rglob("*.parquet"))
    (tmp_path / MANIFEST).write_bytes(older)
    archive(tmp_path)

    lost = before - set(tmp_path.rglob("*.parquet"))
    newest = max(path.name[:9] for path in before if "day=" in str(path))
    assert all(not path.name.startswith(newest) for path in lost)
    assert (tmp_path / "mine.parquet").exists()


def test_an_index_of_ids_that_is_older_than_its_archive_is_made_again(tmp_path: Path) -> None:
    log = MadeLog()
    log.verdict("a", 1)
    log.again()
    log.verdict("b", 1)
    first, second, third = log.as_sent()
    archive(tmp_path / "archive", [first])
    shutil.copytree(tmp_path / "archive" / writing.SEEN, tmp_path / "older")
    archive(tmp_path / "archive", [third])
    shutil.rmtree(tmp_path / "archive" / writing.SEEN)
    shutil.copytree(tmp_path / "older", tmp_path / "archive" / writing.SEEN)
    with ArchiveWriter(tmp_path / "archive") as writer:
        writer.append([replace(third, offset=7), second], positions([second]))

    found = query(tmp_path / "archive").sql('SELECT "offset" FROM verdicts ORDER BY 1').rows
    assert found == ((first.offset,), (third.offset,)) or found == ((third.offset,), (first.offset,))


def test_offsets_that_begin_anew_are_other_records(tmp_path: Path) -> None:
    log = MadeLog()
    log.verdict("a", 1)
    (first,) = log.as_sent()
    other = MadeLog()
    other.verdict("b", 1)
    (again,) = other.as_sent()
    again = replace(again, partition=first.partition, offset=first.offset)
    with ArchiveWriter(tmp_path) as writer:
        writer.append([first], positions([first]))
        writer.append([again], positions([again], epoch=1))

    assert query(tmp_path).sql("SELECT count(*) FROM verdicts").rows == ((2,),)
    assert [one.event.id for one in Archive.read(tmp_path).records() if one.event] == ["verdict-a", "verdict-b"]


def test_merged_files_have_few_row_groups(tmp_path: Path) -> None:
    log = MadeLog()
    for number in range(2 * FAN_IN):
        log.hint(f"a{number}")
    archive(tmp_path, *([one] for one in log.as_sent()))
    with ArchiveWriter(tmp_path) as writer:
        while writer.maintain():
            pass
        (merged,) = writer.manifest.files
    assert pq.ParquetFile(tmp_path / merged.path).num_row_groups == 1


def test_a_damaged_file_does_not_keep_others_from_being_merged(tmp_path: Path) -> None:
    log = MadeLog()
    for number in range(2 * FAN_IN):
        log.hint(f"a{number}")
        log.verdict(f"a{number}", 1)
    archive(tmp_path, *([one] for one in log.as_sent()))
    damaged = next(file for file in read_manifest(tmp_path).files if file.topic == "hints")
    (tmp_path / damaged.path).write_bytes(b"PAR1")
    with ArchiveWriter(tmp_path) as writer:
        while writer.maintain():
            pass
        assert any(file.rows > 1 and file.topic == "verdicts" for file in writer.manifest.files)
        assert damaged in writer.manifest.files


def test_a_day_whose_first_file_is_full_is_merged_behind_it() -> None:
    full, *small = [a_file(0, size=compaction.FULL_BYTES - 10), *(a_file(number) for number in range(1, 4))]

    assert next_merge([full, *small], "2026-01-03") == small
