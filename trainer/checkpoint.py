"""`CheckpointStore`: the versions of one policy as folders, each whole or not there.

Owns `<home>/checkpoints/<policy>/`. A folder is written under a name that nothing reads, every file and the folder
fsynced, then renamed to its manifest's digest: a reader, or a machine that lost power, finds all of it or none. Whether
it *counts* is not decided here but by the transaction that publishes it (trainer/loop.py); a folder that never got
published is removed at the next start.

In a folder: the adapter as PEFT names it (the folder itself is what an engine loads), `trainer/state.safetensors` with
optimizer and random generator (one level down: engines load every weight file beside the adapter), `manifest.json`.
"""

import os
import shutil
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from safetensors.torch import load_file, save_file

from schemas.errors import CheckpointInvalidError
from schemas.events import CheckpointPublished
from schemas.identity import new_id
from streams.checkpoints import (
    Manifest,
    describe_folder,
    local_folder,
    manifest_digest,
    read_manifest,
    verify,
    write_manifest,
)
from streams.failpoints import failpoint
from trainer.backends.base import ADAPTER_WEIGHTS, Backend, Tensors

STATE = Path("trainer") / "state.safetensors"
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parentage:
    """What a manifest says beside its files."""

    version: int
    parent_version: int
    base_model: str
    objective: str
    time_ms: int
    batch_ids: tuple[str, ...]
    sample_ids: tuple[str, ...]
    kind: Literal["lora", "full"] = "lora"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A whole folder on disk."""

    url: str
    manifest_digest: str


class CheckpointStore:
    """The checkpoint folders of one policy."""

    def __init__(self, home: Path, policy: str) -> None:
        self._policy = policy
        self._root = (home / "checkpoints" / quote(policy, safe="")).absolute()

    def save(self, backend: Backend, parentage: Parentage) -> Saved:
        """Writes the backend's weights and state; on return they survive a power cut.

        The same weights and parentage give the same digest, so a step done again after a crash gives the same folder.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        folder = self._root / f"{_UNFINISHED}{new_id()}"
        folder.mkdir()
        backend.export_adapter(folder)
        (folder / STATE).parent.mkdir()
        save_file(dict(backend.state()), folder / STATE)
        manifest = _manifest(folder, self._policy, parentage)
        write_manifest(folder, manifest)
        failpoint("checkpoint.before-fsync")
        _fsync_tree(folder)
        return self._adopt(folder, manifest_digest(manifest))

    def load(self, published: CheckpointPublished, base_model: str, backend: Backend) -> None:
        """Puts the backend, whose frozen base is `base_model`, where a published version left it.

        Raises:  CheckpointInvalidError: the folder is not what was published, or builds on another base;
                 SettingsError: another rank or other layers.
        """
        folder = local_folder(published.url)
        verify(folder, published.manifest_digest, base_model=base_model)
        backend.load_state(load_file(folder / ADAPTER_WEIGHTS), load_file(folder / STATE))

    def load_adapter(self, published: CheckpointPublished) -> Tensors:
        """Only the adapter of a published version.

        Raises:  CheckpointInvalidError: the folder is gone.
        """
        path = local_folder(published.url) / ADAPTER_WEIGHTS
        if not path.is_file():
            message = f"Checkpoint folder {path.parent} of version {published.version} is gone."
            raise CheckpointInvalidError(message)
        tensors: Tensors = load_file(path)
        return tensors

    def clean(self, never_published: Set[int]) -> None:
        """Removes what a crash can leave: unfinished folders, and a whole one of the version that was next.

        Args:    never_published: the next version, and those that a rollback has made, which have no folder.

        No other: a folder that this log does not know may belong to a log that was lost, and be all that is left.
        """
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            if folder.name.startswith(_UNFINISHED) or _version_of(folder) in never_published:
                shutil.rmtree(folder)

    def remove(self, published: CheckpointPublished) -> None:
        """Removes a version that is no longer kept."""
        shutil.rmtree(local_folder(published.url))

    def holds(self, published: CheckpointPublished) -> bool:
        """Whether a version's folder is still there."""
        return local_folder(published.url).is_dir()

    def _adopt(self, folder: Path, digest: str) -> Saved:
        final = self._root / digest
        if final.exists():
            shutil.rmtree(folder)  # the same step was saved before, whole: that is what its name says
        else:
            failpoint("checkpoint.before-rename")
            folder.rename(final)
            failpoint("checkpoint.renamed")
            _fsync(self._root)
        return Saved(url=final.as_uri(), manifest_digest=digest)


def _version_of(folder: Path) -> int | None:
    try:
        return read_manifest(folder)[0].version
    except CheckpointInvalidError:
        return None


def _manifest(folder: Path, policy: str, parentage: Parentage) -> Manifest:
    files, tensors = describe_folder(folder)
    return Manifest(
        policy=policy,
        version=parentage.version,
        parent_version=parentage.parent_version,
        kind=parentage.kind,
        base_model=parentage.base_model,
        objective=parentage.objective,
        time_ms=parentage.time_ms,
        batch_ids=parentage.batch_ids,
        sample_ids=parentage.sample_ids,
        files=files,
        tensors=tensors,
    )


def _fsync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        _fsync(path)
    _fsync(folder)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
