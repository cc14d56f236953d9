"""Manifest: what a checkpoint folder holds, so that it can be checked before an engine sees it.

Owns: the file `manifest.json` and its meaning. The trainer writes it last (`describe_folder`, `write_manifest`) and
publishes its digest; serving checks a folder against that digest (`verify`). One digest thereby vouches for every byte.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from schemas.errors import CheckpointInvalidError, SettingsError
from schemas.identity import digest_bytes
from streams.tensors import TensorEntry, check_finite, describe

MANIFEST_NAME = "manifest.json"
_HEAD_BYTES = 1 << 20  # of each base weight file: enough to tell models apart, cheap for the largest ones


class _ModelConfig(msgspec.Struct):
    """What is read of a model folder's `config.json`."""

    model_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """Whole SHA-256 and size of one file."""

    sha256: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One version of a policy: whose it is, what it was made of, and every file and tensor in its folder.

    `files` and `tensors` come from `describe_folder`; `time_ms` is the newest of the inputs' times, not the clock's,
    so that the same update done again after a crash gives the same digest.
    """

    policy: str
    version: int
    parent_version: int
    kind: Literal["lora", "full"]
    base_model: str  # `identify_base` of the model that it starts from
    objective: str
    time_ms: int
    batch_ids: tuple[str, ...]
    sample_ids: tuple[str, ...]
    files: dict[str, FileEntry]  # by POSIX path inside the folder
    tensors: dict[str, TensorEntry]  # of all .safetensors files together


def describe_folder(folder: Path) -> tuple[dict[str, FileEntry], dict[str, TensorEntry]]:
    """The `files` and `tensors` of a manifest, from what lies in the folder (a manifest itself left out).

    Raises:  CheckpointInvalidError: a weight file is broken, or two hold a tensor of the same name.
    """
    files: dict[str, FileEntry] = {}
    tensors: dict[str, TensorEntry] = {}
    for name, path in _files(folder).items():
        files[name] = FileEntry(sha256=_sha256(path), num_bytes=path.stat().st_size)
        found = describe(path) if path.suffix == ".safetensors" else {}
        if doubled := sorted(found.keys() & tensors.keys()):
            message = f"Checkpoint {folder} holds tensor {doubled[0]!r} twice; give each tensor one name."
            raise CheckpointInvalidError(message)
        tensors |= found
    return files, tensors


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Writes and fsyncs `manifest.json`; equal manifests give equal bytes. Returns its digest, to be published."""
    raw = _canonical(manifest)
    with (folder / MANIFEST_NAME).open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    return digest_bytes(raw)


def manifest_digest(manifest: Manifest) -> str:
    """The digest that `write_manifest` returns, without writing: a name for the folder before it exists."""
    return digest_bytes(_canonical(manifest))


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of a folder, and the digest of its bytes.

    Raises:  CheckpointInvalidError: there is none, or it does not decode.
    """
    if not folder.is_dir():
        message = f"Checkpoint folder {folder} does not exist; was it deleted, or is it on another machine's disk?"
        raise CheckpointInvalidError(message)
    try:
        raw = (folder / MANIFEST_NAME).read_bytes()
        return msgspec.json.decode(raw, type=Manifest), digest_bytes(raw)
    except FileNotFoundError as error:
        message = f"Checkpoint {folder} has no {MANIFEST_NAME}; its writer did not finish."
        raise CheckpointInvalidError(message) from error
    except OSError as error:
        message = f"The {MANIFEST_NAME} of checkpoint {folder} cannot be read: {error.strerror}."
        raise CheckpointInvalidError(message) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:  # msgspec lets the last two through
        message = f"The {MANIFEST_NAME} of checkpoint {folder} does not decode: {error}."
        raise CheckpointInvalidError(message) from error


def verify(folder: Path, expected_digest: str, *, base_model: str | None = None) -> Manifest:
    """The manifest of a folder that is whole: every byte, shape and number as its writer published it.

    Args:    expected_digest: `manifest_digest` of the CheckpointPublished event; base_model: `identify_base` of the
             model that would serve it (None: not checked).
    Raises:  CheckpointInvalidError: with the first thing found wrong.
    """
    manifest, digest = read_manifest(folder)
    if digest != expected_digest:
        message = (
            f"The {MANIFEST_NAME} of checkpoint {folder} has digest {digest}, but {expected_digest} was published."
        )
        raise CheckpointInvalidError(message)
    if base_model is not None and manifest.base_model != base_model:
        message = f"Checkpoint {folder} builds on {manifest.base_model}, but the engine serves {base_model}."
        raise CheckpointInvalidError(message)
    try:
        _check_names(folder, manifest)
        _check_files(folder, manifest)
        _check_tensors(folder, manifest)
    except OSError as error:
        message = f"Checkpoint {folder} cannot be read ({error.strerror}); was it deleted meanwhile?"
        raise CheckpointInvalidError(message) from error
    return manifest


def local_folder(url: str) -> Path:
    """The folder that a checkpoint's url names on this machine.

    Raises:  CheckpointInvalidError: the url is not a file's, or begins nowhere: this process's own folder is none.
    """
    parts = urlsplit(url)
    folder = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not folder.is_absolute():
        message = f"Checkpoint url {url!r} names no folder on this machine's disk; only file:// urls can be loaded."
        raise CheckpointInvalidError(message)
    return folder


def identify_base(folder: Path) -> str:
    """A short name for a model folder that two different models do not share, wherever the folder lies.

    Covers the configuration and, of each weight file, its name, size and first MiB (tensor names, shapes, first
    weights): reading a whole 70B model at every start would cost minutes.

    Raises:  SettingsError: it is no model folder.
    """
    try:
        config = (folder / "config.json").read_bytes()
        model_type = msgspec.json.decode(config, type=_ModelConfig).model_type
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        message = f"{folder} is no Hugging Face model folder (config.json: {error}); set engine.model_path to one."
        raise SettingsError(message) from error
    hasher = hashlib.sha256(config)
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        hasher.update(f"{path.name}:{path.stat().st_size}:".encode() + head)
    return f"{model_type}-{hasher.hexdigest()[:16]}"


def _canonical(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)


def _files(folder: Path) -> dict[str, Path]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {name: path for path in paths if (name := path.relative_to(folder).as_posix()) != MANIFEST_NAME}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_names(folder: Path, manifest: Manifest) -> None:
    present = _files(folder).keys()
    if missing := sorted(manifest.files.keys() - present):
        message = f"Checkpoint {folder} lacks file {missing[0]!r} that its manifest lists; copy the folder again."
        raise CheckpointInvalidError(message)
    if extra := sorted(present - manifest.files.keys()):
        message = f"Checkpoint {folder} holds file {extra[0]!r} that its manifest does not list; remove it."
        raise CheckpointInvalidError(message)


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, entry in manifest.files.items():
        path = folder / name
        if path.stat().st_size != entry.num_bytes or _sha256(path) != entry.sha256:
            message = f"File {name!r} of checkpoint {folder} is not what its manifest lists; copy the folder again."
            raise CheckpointInvalidError(message)


def _check_tensors(folder: Path, manifest: Manifest) -> None:
    found: dict[str, TensorEntry] = {}
    for name in manifest.files:
        if name.endswith(".safetensors"):
            found |= describe(folder / name)
            check_finite(folder / name)
    if not found:
        message = f"Checkpoint {folder} holds no tensors; its writer did not finish."
        raise CheckpointInvalidError(message)
    for name in sorted(found.keys() | manifest.tensors.keys()):
        if found.get(name) != manifest.tensors.get(name):
            message = (
                f"Tensor {name!r} of checkpoint {folder} is {found.get(name)}, listed as {manifest.tensors.get(name)}."
            )
            raise CheckpointInvalidError(message)
