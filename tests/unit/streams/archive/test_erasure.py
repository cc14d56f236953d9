from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from archive_world import archive
from made_log import START_MS, MadeLog

from processors.emit import reject
from schemas.identity import subject_digest
from streams.archive import files
from streams.archive.manifest import read_manifest
from streams.archive.reading import Archive
from streams.archive.writer import ArchiveWriter
from streams.codec import decode_batch
from streams.erasures import ERASED, Erasure, Erasures
from streams.query import LogQuery
from streams.recorded import Recorded

SECRET = "my shoe size is 47"
LATER_MS = START_MS + 10**9


def erasure(subject: str = "ann", until_ms: int = LATER_MS, samples: tuple[str, ...] = ()) -> Erasure:
    digest = subject_digest(subject)
    return Erasure(
        event_id=f"erase-{subject}", tenant="default", subject_digest=digest, until_ms=until_ms, sample_ids=samples
    )


def talked() -> MadeLog:
    """Ann and Bob, in one batch."""
    log = MadeLog()
    log.ready(
        "a0", -1, f"Know that {SECRET}.", question="My size?", answer="46.", reply=f"No, {SECRET}!", subject="ann"
    )
    log.ready("b0", 1, question="Bread?", answer="Bake it.", reply="Thanks!", subject="bob", conversation_id="of-bob")
    log.batch("batch", "a0", "b0")
    log.checkpoint(1, {"batch": ("a0", "b0")})
    return log


def with_subjects(log: MadeLog) -> list[Recorded]:
    """As real stages write it: what derives from a turn has its subject."""
    for number, record in enumerate(log.records):
        a = getattr(record.event, "action_id", record.event.id if record.event else "")
        if record.topic not in {"checkpoints", "current-policies", "batches", "trained"} and record.event:
            subject = "ann" if a.startswith("a") else "bob"
            log.records[number] = replace(record, event=replace(record.event, subject=subject))
    return log.as_sent()


def values(folder: Path) -> list[bytes]:
    return [record.value for record in Archive.read(folder).records()]


def test_a_file_keeps_nothing_of_an_erased_subject_and_all_of_others(tmp_path: Path) -> None:
    sent = with_subjects(talked())
    archive(tmp_path, sent)
    assert any(SECRET.encode() in value for value in values(tmp_path))
    before = set(tmp_path.rglob("*.parquet"))
    with ArchiveWriter(tmp_path) as writer:
        writer.append([], [], erasures=[erasure(samples=("sample-a0",))])
        writer.forget()

    left = list(Archive.read(tmp_path).records())
    assert not any(SECRET.encode() in one.value for one in left)
    assert {one.event.subject for one in left if one.event} == {"bob", ""}
    of_bob = {one.event.id: one for one in sent if one.event and one.event.subject == "bob"}
    assert {one.event.id: one for one in left if one.event and one.event.subject == "bob"} == of_bob
    assert all(one.done for one in read_manifest(tmp_path).forgotten)
    named = {tmp_path / file.path for file in read_manifest(tmp_path).files}
    assert set(tmp_path.glob("*/day=*/*")) == named  # the files that held it are gone at once
    assert named - before
    assert LogQuery(None, archive=Archive.read(tmp_path)).sql("SELECT subject FROM turns").rows == (("bob",),)


def test_a_batch_loses_the_words_of_one_and_keeps_those_of_the_other(tmp_path: Path) -> None:
    (batch,) = [one for one in with_subjects(talked()) if one.topic == "batches"]
    kept = Erasures.of([erasure(samples=("sample-a0",))]).apply(batch)

    assert kept is not None
    event, table = decode_batch(kept.value)
    assert event == batch.event
    by_sample = {row["sample_id"]: row for row in table.to_pylist()}
    assert by_sample["sample-a0"]["prompt_ids"] == by_sample["sample-a0"]["response_ids"] == []
    assert by_sample["sample-b0"] == decode_batch(batch.value)[1].to_pylist()[1]
    assert (ERASED, b"1") in kept.headers
    assert Erasures.of([erasure(samples=("sample-a0",))]).apply(kept) is kept
    both = Erasures.of([erasure(samples=("sample-a0",)), erasure("bob", samples=("sample-b0",))]).apply(kept)
    assert both is not None
    assert decode_batch(both.value)[1]["prompt_ids"].to_pylist() == [[], []]


def test_a_crash_before_it_is_done_leaves_it_to_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path, with_subjects(talked()))
    with ArchiveWriter(tmp_path) as writer:
        writer.append([], [], erasures=[erasure(samples=("sample-a0",))])
    assert not read_manifest(tmp_path).forgotten[0].done

    with ArchiveWriter(tmp_path) as writer:
        writer.forget()
    assert not any(SECRET.encode() in value for value in values(tmp_path))


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({}, False),
        ({"subject": "bob"}, True),
        ({"subject": ""}, True),
        ({"tenant": "acme"}, True),
        ({"time_ms": LATER_MS}, False),
        ({"time_ms": LATER_MS + 1}, True),
    ],
)
def test_an_erasure_is_of_one_subject_of_one_tenant_up_to_its_time(changes: dict[str, object], is_kept: bool) -> None:
    log = MadeLog()
    log.action("a", **{"subject": "ann", "time_ms": START_MS, **changes})
    (record,) = log.as_sent()

    assert (Erasures.of([erasure()]).apply(record) is record) == is_kept


def test_a_record_that_nobody_can_read_is_known_by_its_header() -> None:
    log = MadeLog()
    log.action("a", subject="ann", time_ms=START_MS)
    (record,) = log.as_sent()
    broken = replace(record, event=None)

    assert Erasures.of([erasure()]).apply(broken) is None
    assert Erasures.of([erasure("bob")]).apply(broken) is broken


def forgotten(folder: Path, erased: Erasure) -> None:
    with ArchiveWriter(folder) as writer:
        writer.append([], [], erasures=[erased])
        writer.forget()


@pytest.mark.parametrize("order", ["batch first", "samples first"])
def test_a_batch_loses_its_words_though_nobody_said_which_samples(tmp_path: Path, order: str) -> None:
    sent = with_subjects(talked())
    batches = [one for one in sent if one.topic == "batches"]
    others = [one for one in sent if one.topic != "batches"]
    erasures = Erasures.of([erasure()])
    parts = [batches, others] if order == "batch first" else [others, batches]
    kept = [one for part in parts for record in part if (one := erasures.apply(record)) is not None]

    (batch,) = [one for one in kept if one.topic == "batches"]
    assert decode_batch(batch.value)[1]["prompt_ids"].to_pylist() == [[], [1, 2]]


def test_an_archived_batch_loses_its_words_though_nobody_said_which_samples(tmp_path: Path) -> None:
    archive(tmp_path, with_subjects(talked()))
    forgotten(tmp_path, erasure())

    (batch,) = [one for one in Archive.read(tmp_path).records() if one.topic == "batches"]
    assert decode_batch(batch.value)[1]["prompt_ids"].to_pylist() == [[], [1, 2]]


def test_a_batch_that_is_sealed_after_a_restart_loses_them_too() -> None:
    (batch,) = [one for one in with_subjects(talked()) if one.topic == "batches"]
    kept = Erasures.of([erasure()]).apply(batch)

    assert kept is not None
    assert decode_batch(kept.value)[1]["prompt_ids"].to_pylist() == [[], [1, 2]]


def test_new_history_of_an_erased_subject_keeps_its_words() -> None:
    sent = with_subjects(talked())
    erasures = Erasures.of([erasure(until_ms=START_MS - 1)])

    assert [erasures.apply(record) for record in sent] == sent


def test_the_preview_of_a_record_that_nobody_could_read_goes_with_its_subject() -> None:
    log = MadeLog()
    log.action("a", subject="ann", time_ms=START_MS)
    (record,) = log.as_sent()
    broken = replace(record, event=None, value=SECRET.encode(), timestamp_ms=START_MS)
    rejected = MadeLog()
    rejected.put("rejections", reject(broken, "join", ValueError("no JSON")))
    (rejection,) = rejected.as_sent()

    assert SECRET.encode() in rejection.value
    assert Erasures.of([erasure()]).apply(rejection) is None
    assert Erasures.of([erasure("bob")]).apply(rejection) is rejection


def test_files_with_the_columns_of_another_release_are_erased_from_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MadeLog()
    for number in range(6):
        log.hint(f"a{number}", f"hint {number}", subject="ann" if number == 4 else "bob")
    with monkeypatch.context() as patch:
        patch.setattr(files, "ROW_GROUP_ROWS", 2)
        patch.setattr(files, "schema_digest", lambda topic: "of another release")
        archive(tmp_path, log.as_sent())
    (file,) = read_manifest(tmp_path).files
    whole = pq.read_table(tmp_path / file.path).drop_columns(["reason"])
    pq.write_table(whole, tmp_path / file.path, row_group_size=2)
    forgotten(tmp_path, erasure())

    assert [one.event.id for one in Archive.read(tmp_path).records() if one.event] == [
        f"hint-a{number}" for number in (0, 1, 2, 3, 5)
    ]


def test_a_damaged_file_leaves_the_erasure_to_be_done_and_the_rest_erased(tmp_path: Path) -> None:
    archive(tmp_path, with_subjects(talked()))
    damaged = next(file for file in read_manifest(tmp_path).files if file.topic == "hints")
    (tmp_path / damaged.path).write_bytes(b"PAR1")
    forgotten(tmp_path, erasure())

    manifest = read_manifest(tmp_path)
    assert not manifest.forgotten[0].done
    assert [file.topic for file in manifest.files if file == damaged] == ["hints"]
    assert not [file for file in manifest.files if file.topic == "actions" and file.rows == 2]
