"""A tiny base model and adapters for it, as real folders with manifests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from safetensors.numpy import save_file

from schemas.events import CheckpointPublished
from streams.checkpoints import Manifest, describe_folder, identify_base, write_manifest
from streams.recorded import Recorded

LAYERS = ("model.layers.0.q_proj", "model.layers.1.q_proj")
NUM_OUT, NUM_IN, RANK = 6, 4, 2
Arrays = dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]


def make_base(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(orjson.dumps({"model_type": "tiny", "vocab_size": 10}))
    weights = {f"{layer}.weight": np.ones((NUM_OUT, NUM_IN), np.float32) for layer in LAYERS}
    save_file({**weights, "model.norm.weight": np.ones(NUM_IN, np.float32)}, folder / "model.safetensors")
    return folder


def adapter_arrays() -> Arrays:
    halves = {"A": (RANK, NUM_IN), "B": (NUM_OUT, RANK)}
    return {
        f"base_model.model.{layer}.lora_{side}.weight": np.full(shape, 0.1, np.float32)
        for layer in LAYERS
        for side, shape in halves.items()
    }


def write_adapter(folder: Path, arrays: Arrays | None = None, **config: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(adapter_arrays() if arrays is None else arrays, folder / "adapter_model.safetensors")
    given = {"r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj"], "peft_type": "LORA", **config}
    (folder / "adapter_config.json").write_bytes(orjson.dumps(given))


@dataclass
class Publisher:
    """Makes versions of one policy, and the records that publish them."""

    root: Path
    base: Path
    policy: str = "p"

    def publish(self, version: int, arrays: Arrays | None = None, kind: str = "lora") -> Recorded:
        folder = self.root / f"{self.policy}-{version}"
        write_adapter(folder, arrays)
        files, tensors = describe_folder(folder)
        manifest = Manifest(
            policy=self.policy,
            version=version,
            parent_version=version - 1,
            kind="lora",
            base_model=identify_base(self.base),
            objective="o",
            time_ms=version,
            batch_ids=(),
            sample_ids=(),
            files=files,
            tensors=tensors,
        )
        digest = write_manifest(folder, manifest)
        event = CheckpointPublished(
            id=f"{self.policy}-c{version}",
            time_ms=1000 + version,
            policy=self.policy,
            version=version,
            parent_version=version - 1,
            url=folder.as_uri(),
            manifest_digest=digest,
            kind="full" if kind == "full" else "lora",
            base_model=manifest.base_model,
            objective="o",
            batch_ids=(),
            sample_ids=(),
            action_ids=(),
            metrics={},
        )
        return recorded(event, offset=version)


def recorded(event: CheckpointPublished | None, offset: int) -> Recorded:
    return Recorded(
        topic="checkpoints",
        partition=1,
        offset=offset,
        timestamp_ms=5,
        headers=[],
        key=b"p",
        value=b"",
        event=event,
        error=None,
    )
