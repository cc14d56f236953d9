"""Checkpoint folders: whole or not there, named by what they hold, removed only where they cannot matter."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from schemas.errors import CheckpointInvalidError
from schemas.events import CheckpointPublished
from streams.checkpoints import local_folder, read_manifest, verify
from tests.unit.trainer.builders import sample, sealed
from tests.unit.trainer.test_torch_backend import learn
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore, Parentage, Saved
from trainer.publish import checkpoint_published

BASE = "llama-tiny"
POLICY = "team a/assistant"  # a name that is no file name


def parentage(version: int) -> Parentage:
    return Parentage(
        version=version,
        parent_version=version - 1,
        base_model=BASE,
        objective="hybrid",
        time_ms=1_770_000_000_000,
        batch_ids=("batch-1",),
        sample_ids=("sample-1",),
    )


def published(saved: Saved, version: int) -> CheckpointPublished:
    return checkpoint_published(sealed([sample()]), parentage(version), saved, (), {})


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path, POLICY)


def folders(home: Path) -> set[str]:
    (root,) = (home / "checkpoints").iterdir()
    return {folder.name for folder in root.iterdir()}


def test_what_was_saved_is_whole_and_loads_exactly(
    store: CheckpointStore, load: Callable[[], TorchBackend], tmp_path: Path
) -> None:
    saver, loader = load(), load()
    learn(saver, 2)
    saved = store.save(saver, parentage(1))
    manifest = verify(local_folder(saved.url), saved.manifest_digest, base_model=BASE)
    assert (manifest.policy, manifest.version, manifest.sample_ids) == (POLICY, 1, ("sample-1",))
    assert folders(tmp_path) == {saved.manifest_digest}
    store.load(published(saved, 1), BASE, loader)
    learn(saver)
    learn(loader)
    assert all(torch.equal(saver.adapter()[name], weight) for name, weight in loader.adapter().items())


def test_an_engine_finds_only_the_adapter_at_the_top_of_the_folder(
    store: CheckpointStore, backend: TorchBackend
) -> None:
    learn(backend)
    folder = local_folder(store.save(backend, parentage(1)).url)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == ["adapter_config.json", "adapter_model.safetensors", "manifest.json", "trainer/state.safetensors"]


def test_the_same_step_done_again_gives_the_same_folder(
    store: CheckpointStore, load: Callable[[], TorchBackend], tmp_path: Path
) -> None:
    saved = []
    for backend in (load(), load()):
        learn(backend)
        saved.append(store.save(backend, parentage(1)))
    assert saved[0] == saved[1]
    assert len(folders(tmp_path)) == 1


def test_a_crash_leaves_only_what_the_next_start_removes(
    store: CheckpointStore, backend: TorchBackend, tmp_path: Path
) -> None:
    learn(backend)
    committed = store.save(backend, parentage(1))
    learn(backend)
    uncommitted = store.save(backend, parentage(2))
    unfinished = local_folder(committed.url).with_name(".unfinished-1")
    unfinished.mkdir()
    (unfinished / "adapter_model.safetensors").write_bytes(b"half")
    assert len(folders(tmp_path)) == 3
    store.clean({2})
    assert folders(tmp_path) == {committed.manifest_digest}
    assert uncommitted.manifest_digest != committed.manifest_digest


def test_a_folder_that_the_log_cannot_explain_is_left_alone(
    store: CheckpointStore, backend: TorchBackend, tmp_path: Path
) -> None:
    learn(backend)
    late = store.save(backend, parentage(9))
    notes = local_folder(late.url).with_name("notes")
    notes.mkdir()
    store.clean({1})
    assert folders(tmp_path) == {late.manifest_digest, "notes"}


def test_cleaning_before_the_first_checkpoint_is_nothing_to_do(store: CheckpointStore, tmp_path: Path) -> None:
    store.clean({1})
    assert not (tmp_path / "checkpoints").exists()


def test_a_damaged_or_foreign_checkpoint_is_refused_and_nothing_is_loaded(
    store: CheckpointStore, backend: TorchBackend
) -> None:
    learn(backend)
    event = published(store.save(backend, parentage(1)), 1)
    weights = backend.adapter()
    learn(backend)
    with pytest.raises(CheckpointInvalidError, match="builds on"):
        store.load(event, "another-model", backend)
    state = local_folder(event.url) / "trainer" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(CheckpointInvalidError, match=r"state\.safetensors"):
        store.load(event, BASE, backend)
    assert not all(torch.equal(weights[name], weight) for name, weight in backend.adapter().items())


def test_an_adapter_is_read_alone_while_it_is_there(store: CheckpointStore, backend: TorchBackend) -> None:
    learn(backend)
    event = published(store.save(backend, parentage(1)), 1)
    assert all(torch.equal(backend.adapter()[name], weight) for name, weight in store.load_adapter(event).items())
    store.remove(event)
    assert not store.holds(event)
    with pytest.raises(CheckpointInvalidError, match="version 1 is gone"):
        store.load_adapter(event)


def test_a_policy_of_any_name_has_a_folder_of_its_own(backend: TorchBackend, tmp_path: Path) -> None:
    learn(backend)
    for policy in ("a/b", "a", "ä b"):
        event = published(CheckpointStore(tmp_path, policy).save(backend, parentage(1)), 1)
        assert read_manifest(local_folder(event.url))[0].policy == policy
    assert len(list((tmp_path / "checkpoints").iterdir())) == 3
