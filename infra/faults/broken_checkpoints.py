"""`KINDS`: every way in which a checkpoint can be bad, each made of a good one, as real bytes in a real folder.

Two families. In the one the folder is not what was published: bytes changed after the manifest was written. In the
other folder and manifest agree, and digests prove nothing: what is wrong was wrong when it was written. `Forge` makes a
small base model and good versions; a kind spoils one, and says how the check that is meant for it puts it.
"""

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
from safetensors.numpy import save_file

from schemas.events import CheckpointPublished
from schemas.identity import new_id
from serving.adapter_fit import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from streams.checkpoints import Manifest, describe_folder, identify_base, write_manifest
from streams.recorded import Recorded
from streams.topics import CHECKPOINTS

POLICY = "assistant"
LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.up_proj")
_NUM_OUT, _NUM_IN, _RANK = 12, 8, 2
_GOOD_STD = 0.05  # of an adapter's halves: far below what a bound forbids
_HUGE = (1e3, 1e6, 1e18)  # factors of an adapter that diverged without becoming inf

Arrays = dict[str, Any]  # numpy arrays by tensor name


class Forge:
    """Makes versions in a folder. Args: rng: of everything that is drawn."""

    rank = _RANK

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.base = _make_base(folder / "base", 1.0)
        self.other_base = identify_base(_make_base(folder / "other", 2.0))
        self.rng = rng
        self._versions = folder / "versions"
        self._numbers = np.random.default_rng(rng.getrandbits(32))
        self._next_offset = 0

    def clean(self) -> None:
        """Forget the folders of a case."""
        shutil.rmtree(self._versions)

    def arrays(self) -> Arrays:
        """A good adapter's tensors."""
        halves = {"A": (_RANK, _NUM_IN), "B": (_NUM_OUT, _RANK)}
        return {
            f"base_model.model.{layer}.lora_{side}.weight": self._numbers.normal(0, _GOOD_STD, shape).astype(np.float32)
            for layer in LAYERS
            for side, shape in halves.items()
        }

    def good(self, version: int, parent: int | None = None) -> Recorded:
        """A version as the trainer publishes it."""
        return self.publish(version, self.arrays(), parent=parent)

    def publish(
        self, version: int, arrays: Arrays, *, parent: int | None = None, claims: Mapping[str, Any] | None = None
    ) -> Recorded:
        """A folder whose manifest lists what is in it. Args: claims: fields of the manifest that are not true."""
        folder = self._versions / new_id()
        folder.mkdir(parents=True)
        save_file(arrays, folder / ADAPTER_WEIGHTS)
        config = {"r": _RANK, "lora_alpha": 2 * _RANK, "target_modules": ["q_proj", "up_proj"], "peft_type": "LORA"}
        (folder / ADAPTER_CONFIG).write_bytes(orjson.dumps(config))
        files, tensors = describe_folder(folder)
        fields: dict[str, Any] = {
            "policy": POLICY,
            "version": version,
            "parent_version": version - 1 if parent is None else parent,
            "kind": "lora",
            "base_model": identify_base(self.base),
            "objective": "none",
            "time_ms": version,
            "batch_ids": (),
            "sample_ids": (),
            "files": files,
            "tensors": tensors,
        }
        manifest = Manifest(**{**fields, **(claims or {})})
        event = CheckpointPublished(
            id=new_id(),
            time_ms=version,
            policy=POLICY,
            version=version,
            parent_version=manifest.parent_version,
            url=folder.as_uri(),
            manifest_digest=write_manifest(folder, manifest),
            base_model=manifest.base_model,
            objective="none",
            batch_ids=(),
            sample_ids=(),
            action_ids=(),
            metrics={},
        )
        return self.record(event)

    def record(self, event: CheckpointPublished) -> Recorded:
        """The event where it would lie in the log."""
        self._next_offset += 1
        return Recorded(
            topic=CHECKPOINTS.name,
            partition=0,
            offset=self._next_offset,
            timestamp_ms=event.time_ms,
            headers=[],
            key=POLICY.encode(),
            value=b"",
            event=event,
            error=None,
        )

    def some_file(self, published: Recorded) -> Path:
        """One file of a version's folder, any of them, its manifest among them."""
        return self.rng.choice(sorted(path for path in folder_of(published).iterdir() if path.is_file()))

    def some_tensor(self, arrays: Arrays) -> str:
        """The name of any of them."""
        return self.rng.choice(sorted(arrays))


def folder_of(published: Recorded) -> Path:
    """Where a version lies."""
    return Path(published_event(published).url.removeprefix("file://"))


def published_event(published: Recorded) -> CheckpointPublished:
    """What a record publishes."""
    assert isinstance(published.event, CheckpointPublished)
    return published.event


def _make_base(folder: Path, weight: float) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(orjson.dumps({"model_type": "small", "vocab_size": 16}))
    weights = {f"{layer}.weight": np.full((_NUM_OUT, _NUM_IN), weight, np.float32) for layer in LAYERS}
    save_file(weights, folder / "model.safetensors")
    return folder


def _bit_flip(forge: Forge, version: int) -> Recorded:
    published = forge.good(version)
    file = forge.some_file(published)
    raw = bytearray(file.read_bytes())
    raw[forge.rng.randrange(len(raw))] ^= 1 << forge.rng.randrange(8)
    file.write_bytes(raw)
    return published


def _truncation(forge: Forge, version: int) -> Recorded:
    published = forge.good(version)
    file = forge.some_file(published)
    raw = file.read_bytes()
    file.write_bytes(raw[: forge.rng.randrange(len(raw))])
    return published


def _missing_tensor(forge: Forge, version: int) -> Recorded:
    arrays = forge.arrays()
    del arrays[forge.some_tensor(arrays)]
    return forge.publish(version, arrays)


def _extra_tensor(forge: Forge, version: int) -> Recorded:
    arrays = forge.arrays()
    extra = forge.rng.choice(
        (
            "base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight",
            "base_model.model.lm_head.weight",
            f"base_model.model.{LAYERS[0]}.lora_C.weight",
            "surprise",
        )
    )
    return forge.publish(version, {**arrays, extra: np.ones((_RANK, _NUM_IN), np.float32)})


def _wrong_shape(forge: Forge, version: int) -> Recorded:
    arrays = forge.arrays()
    name = forge.some_tensor(arrays)
    rows, columns = arrays[name].shape
    shape = forge.rng.choice(((rows + 1, columns), (rows, columns + 1), (columns, rows), (rows, columns, 1)))
    return forge.publish(version, {**arrays, name: np.zeros(shape, np.float32)})


def _not_a_number(forge: Forge, version: int) -> Recorded:
    arrays = forge.arrays()
    numbers = arrays[forge.some_tensor(arrays)].reshape(-1)
    numbers[forge.rng.randrange(len(numbers))] = forge.rng.choice((np.nan, np.inf, -np.inf))
    return forge.publish(version, arrays)


def _huge_norm(forge: Forge, version: int) -> Recorded:
    arrays = forge.arrays()
    layer = forge.rng.choice(LAYERS)
    for side in "AB":
        arrays[f"base_model.model.{layer}.lora_{side}.weight"] *= np.float32(forge.rng.choice(_HUGE))
    return forge.publish(version, arrays)


def _wrong_base(forge: Forge, version: int) -> Recorded:
    return forge.publish(version, forge.arrays(), claims={"base_model": forge.other_base})


def _path_gone(forge: Forge, version: int) -> Recorded:
    published = forge.good(version)
    if forge.rng.random() < 0.5:
        shutil.rmtree(folder_of(published))
        return published
    url = forge.rng.choice(("file:///no/such/folder", "s3://bucket/version", "http://127.0.0.1:1/version", "", "file:"))
    return replace(published, event=replace(published_event(published), url=url))


def _stale_replayed(forge: Forge, version: int) -> Recorded:
    """An older version again: the same number at another place, an older number, or old weights under a new number."""
    old = forge.good(version - 1)
    match forge.rng.randrange(3):
        case 0:
            return old
        case 1:
            return forge.good(forge.rng.randrange(1, version - 1))
        case _:
            return replace(old, event=replace(published_event(old), version=version))


Spoil = Callable[[Forge, int], Recorded]  # (forge, the version to publish) -> its record


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of damage."""

    spoil: Spoil
    reasons: tuple[str, ...]  # a refusal holds one of these: several, where what is hit decides which check is first

    def explains(self, reason: str) -> bool:
        """Whether a refusal speaks of this damage."""
        return any(words in reason for words in self.reasons)


_CHANGED_FILE, _UNREADABLE = "is not what its manifest lists", "does not decode"

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "bit flip": Kind(_bit_flip, (_CHANGED_FILE, _UNREADABLE, "was published.")),
        "truncation": Kind(_truncation, (_CHANGED_FILE, _UNREADABLE)),
        "missing tensor": Kind(_missing_tensor, ("needs one of shape",)),
        "extra tensor": Kind(_extra_tensor, ("engines load LoRA matrices only", "which the base model or the adapter")),
        "wrong shape": Kind(_wrong_shape, ("has shape (",)),
        "NaN": Kind(_not_a_number, ("holds inf or NaN",)),
        "huge norm": Kind(_huge_norm, ("reload.max_weight_change",)),
        "wrong base": Kind(_wrong_base, ("but the engine serves",)),
        "path gone": Kind(_path_gone, ("does not exist", "names no folder on this machine's disk")),
        "stale version": Kind(_stale_replayed, ("versions only grow", "but was published as another")),
    }
)
