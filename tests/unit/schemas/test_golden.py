"""Every form in which an event was ever written stays readable: its sample never changes, and decodes as ever."""

import shutil
from pathlib import Path

import golden
import msgspec
import pytest

from schemas.batch import LATER_COLUMNS
from schemas.events import TYPES
from schemas.upcast import READABLE
from streams.codec import decode_batch
from streams.memory import MemoryLog
from streams.topics import BY_NAME

SAMPLES = golden.read_samples()
ADD = "run python tests/golden.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the samples."""
    return Path(shutil.copytree(golden.FOLDER, tmp_path / "golden"))


def test_no_sample_has_changed_since_it_was_written() -> None:
    assert golden.changed() == set()


def test_every_version_has_a_sample() -> None:
    assert {sample.type for sample in SAMPLES.values()} == set(READABLE), ADD


def test_every_form_that_is_written_now_has_a_sample() -> None:
    assert [sample.type for sample in golden.missing()] == [], ADD


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_accepted_in_its_place_and_decodes_to_what_it_always_said(name: str) -> None:
    sample, frozen = SAMPLES[name], golden.read_decoded(name)
    record = MemoryLog().append_raw(BY_NAME[sample.topic], sample.key, sample.value, sample.headers)
    assert record.error is None
    # By way of today's class: fields that were added later have their defaults.
    assert record.event == msgspec.convert(frozen["event"], TYPES[frozen["type"]])


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.is_batch])
def test_a_batch_of_any_form_holds_the_rows_that_it_always_held(name: str) -> None:
    rows = decode_batch(SAMPLES[name].value)[1].to_pylist()
    assert rows == [{**LATER_COLUMNS, **row} for row in golden.read_decoded(name)["samples"]]


def test_a_batch_of_the_first_form_is_among_them() -> None:
    forms = [sample.form for sample in SAMPLES.values() if sample.is_batch]
    assert sum("samples.outcome" not in form for form in forms) == 1


def test_a_sample_that_is_altered_gone_or_unlisted_is_named(folder: Path) -> None:
    altered, gone, *_ = SAMPLES
    (folder / altered).write_text((folder / altered).read_text().replace("assistant", "attendant"))
    (folder / gone).unlink()
    (folder / "new.json").write_text("{}")
    assert golden.changed(folder) == {altered, gone, "new.json"}


def test_samples_are_added_and_never_written_again(folder: Path) -> None:
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    golden.add_missing(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == kept


def test_a_sample_that_is_gone_is_not_replaced_by_what_is_written_now(folder: Path) -> None:
    names = [name for name in SAMPLES if name.startswith("nextstate.sample.built.v1.")]
    for name in names:
        (folder / name).unlink()
    golden.add_missing(folder)
    assert golden.changed(folder) == set(names)


def test_a_new_type_gets_a_sample_of_what_is_written_now(tmp_path: Path) -> None:
    golden.add_missing(tmp_path)
    assert {sample.type for sample in golden.read_samples(tmp_path).values()} == set(TYPES)
    assert golden.missing(tmp_path) == []
    assert golden.changed(tmp_path) == set()
