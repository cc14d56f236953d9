"""A checkpoint folder is believed only when every byte, shape and number is what was published."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from schemas.errors import CheckpointInvalidError, SettingsError
from streams.checkpoints import (
    MANIFEST_NAME,
    Manifest,
    describe_folder,
    identify_base,
    local_folder,
    manifest_digest,
    read_manifest,
    verify,
    write_manifest,
)
from streams.tensors import TensorEntry

WEIGHTS = "adapter_model.safetensors"


def make_manifest(folder: Path) -> Manifest:
    files, tensors = describe_folder(folder)
    return Manifest(
        policy="assistant",
        version=2,
        parent_version=1,
        kind="lora",
        base_model="llama-0123456789abcdef",
        objective="hybrid",
        time_ms=1_700_000_000_000,
        batch_ids=("b1",),
        sample_ids=("s1", "s2"),
        files=files,
        tensors=tensors,
    )


def fill(folder: Path, **tensors: torch.Tensor) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS)
    (folder / "adapter_config.json").write_text('{"r": 2}')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    fill(folder, a=torch.ones(2, 3), b=torch.full((4,), 2.0, dtype=torch.bfloat16))
    return folder


def test_a_whole_folder_gives_back_its_manifest(folder: Path) -> None:
    manifest = make_manifest(folder)
    digest = write_manifest(folder, manifest)
    assert verify(folder, digest, base_model=manifest.base_model) == manifest
    assert manifest.tensors == {
        "a": TensorEntry(shape=(2, 3), dtype="F32"),
        "b": TensorEntry(shape=(4,), dtype="BF16"),
    }


def test_the_digest_is_known_before_anything_is_written(folder: Path) -> None:
    manifest = make_manifest(folder)
    assert manifest_digest(manifest) == write_manifest(folder, manifest) == read_manifest(folder)[1]


def test_the_digest_covers_the_lineage_and_not_only_the_weights(folder: Path) -> None:
    manifest = make_manifest(folder)
    assert manifest_digest(manifest) != manifest_digest(replace(manifest, sample_ids=("s1", "s3")))


def _delete_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _garble_manifest(folder: Path) -> None:
    raw = (folder / MANIFEST_NAME).read_bytes()
    (folder / MANIFEST_NAME).write_bytes(raw.replace(b"assistant", b"assist\xeent"))


def _truncate(folder: Path) -> None:
    raw = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(raw[:-4])


def _flip(folder: Path) -> None:
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (folder / WEIGHTS).write_bytes(raw)


def _swap_manifest(folder: Path) -> None:
    write_manifest(folder, replace(read_manifest(folder)[0], version=3))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_delete_folder, "does not exist"),
        (lambda folder: (folder / MANIFEST_NAME).unlink(), "has no manifest.json"),
        (lambda folder: (folder / MANIFEST_NAME).write_text("{"), "does not decode"),
        (lambda folder: (folder / MANIFEST_NAME).write_text('{"x":' + "[" * 5000), "does not decode"),
        (_garble_manifest, "does not decode"),
        (_swap_manifest, "was published"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "lacks file 'adapter_config.json'"),
        (lambda folder: (folder / "stray.bin").write_bytes(b"x"), "file 'stray.bin' that its manifest does not list"),
        (_truncate, "is not what its manifest lists"),
        (_flip, "is not what its manifest lists"),
    ],
)
def test_damage_after_writing_is_found(folder: Path, damage: Callable[[Path], object], sentence: str) -> None:
    digest = write_manifest(folder, make_manifest(folder))
    damage(folder)
    with pytest.raises(CheckpointInvalidError, match=sentence):
        verify(folder, digest)


def test_a_checkpoint_of_another_base_model_is_refused(folder: Path) -> None:
    digest = write_manifest(folder, make_manifest(folder))
    with pytest.raises(CheckpointInvalidError, match="the engine serves llama-other"):
        verify(folder, digest, base_model="llama-other")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_number_that_is_not_finite_is_found_in_every_type(tmp_path: Path, dtype: torch.dtype, value: float) -> None:
    weights = torch.zeros(64, dtype=dtype)
    weights[63] = value
    fill(tmp_path / "c", fine=torch.ones(2), broken=weights)
    digest = write_manifest(tmp_path / "c", make_manifest(tmp_path / "c"))
    with pytest.raises(CheckpointInvalidError, match=r"'broken' .* inf or NaN"):
        verify(tmp_path / "c", digest)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_largest_finite_numbers_of_every_type_pass(tmp_path: Path, dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype)
    fill(tmp_path / "c", a=torch.tensor([largest.max, largest.min, largest.tiny, 0.0], dtype=dtype))
    assert verify(tmp_path / "c", write_manifest(tmp_path / "c", make_manifest(tmp_path / "c")))


def test_a_type_whose_numbers_cannot_be_checked_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "c", a=torch.ones(4).to(torch.float8_e4m3fn))
    with pytest.raises(CheckpointInvalidError, match="F8_E4M3; use"):
        verify(tmp_path / "c", write_manifest(tmp_path / "c", make_manifest(tmp_path / "c")))


def test_a_tensor_listed_with_another_shape_is_found(folder: Path) -> None:
    manifest = make_manifest(folder)
    wrong = {**manifest.tensors, "a": TensorEntry(shape=(3, 2), dtype="F32")}
    digest = write_manifest(folder, replace(manifest, tensors=wrong))
    with pytest.raises(CheckpointInvalidError, match="Tensor 'a'"):
        verify(folder, digest)


def test_a_folder_without_tensors_is_refused(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointInvalidError, match="holds no tensors"):
        verify(folder, write_manifest(folder, make_manifest(folder)))


def test_a_tensor_name_in_two_files_is_refused(folder: Path) -> None:
    save_file({"a": torch.ones(1)}, folder / "second.safetensors")
    with pytest.raises(CheckpointInvalidError, match="'a' twice"):
        describe_folder(folder)


def test_a_broken_weight_file_is_no_traceback(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(np.full(64, 0xFF, dtype=np.uint8).tobytes())
    with pytest.raises(CheckpointInvalidError, match="not a whole safetensors file"):
        describe_folder(folder)


def test_a_base_is_known_by_its_weights_and_not_by_its_folder(tmp_path: Path) -> None:
    for name, value in (("one", 1.0), ("copy", 1.0), ("other", 1.5)):
        (tmp_path / name).mkdir()
        save_file({"w": torch.tensor([value])}, tmp_path / name / "model.safetensors")
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "llama"}))
    one, copy, other = (identify_base(tmp_path / name) for name in ("one", "copy", "other"))
    assert one == copy != other
    assert one.startswith("llama-")


def test_a_url_names_its_folder_whatever_characters_are_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "ü%41"
    assert local_folder(folder.as_uri()) == folder


@pytest.mark.parametrize(
    "url", ["s3://bucket/checkpoint", "", "file:", "file:checkpoint", "file://", "file://checkpoints/3"]
)
def test_a_url_that_names_no_folder_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(CheckpointInvalidError, match="only file:// urls"):
        local_folder(url)


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_a_folder_without_a_model_is_a_setting_to_mend(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(SettingsError, match=r"is no Hugging Face model folder .*engine\.model_path"):
        identify_base(tmp_path)
