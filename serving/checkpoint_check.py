"""`checked_folder`: the folder of a checkpoint that an engine may be given, after everything that files can show.

Consumes a published checkpoint and what the engine serves; produces its folder, or the first thing found wrong. What
the weights say is the gate's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from schemas.errors import CheckpointInvalidError
from schemas.events import CheckpointPublished
from serving.adapter_fit import Shape, base_shapes, check_fit
from serving.adapter_size import base_sizes, check_size
from serving.config import EngineConfig, ReloadConfig
from streams.checkpoints import identify_base, local_folder, verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the engine serves, as far as an adapter must match it, and how many it has room for."""

    base_model: str  # identify_base
    shapes: Mapping[str, Shape]  # base_shapes
    sizes: Mapping[str, float]  # base_sizes
    max_change: float  # of a layer, in sizes of it
    max_rank: int
    max_loaded: int

    @classmethod
    def of(cls, model_path: Path, engine: EngineConfig, reload: ReloadConfig) -> Self:
        """Read from the model's folder.

        Raises:  SettingsError: it is no whole model folder.
        """
        shapes = base_shapes(model_path)
        return cls(
            base_model=identify_base(model_path),
            shapes=shapes,
            sizes=base_sizes(model_path, shapes),
            max_change=reload.max_weight_change,
            max_rank=engine.max_lora_rank,
            max_loaded=engine.max_loaded_loras,
        )


def checked_folder(checkpoint: CheckpointPublished, served: Served) -> Path:
    """The folder of a checkpoint that an engine may be given.

    Raises:  CheckpointInvalidError: it is not what was published, or not for this model.
    """
    if checkpoint.kind != "lora":
        message = f"Version {checkpoint.version} of {checkpoint.policy} holds full weights; this engine takes adapters."
        raise CheckpointInvalidError(message)
    folder = local_folder(checkpoint.url)
    manifest = verify(folder, checkpoint.manifest_digest, base_model=served.base_model)
    if (manifest.policy, manifest.version) != (checkpoint.policy, checkpoint.version):
        message = f"Checkpoint {folder} is {manifest.policy}@{manifest.version}, but was published as another."
        raise CheckpointInvalidError(message)
    check_fit(folder, served.shapes, served.max_rank)
    check_size(folder, served.sizes, served.max_change)
    return folder
