"""`check_fit`: whether a LoRA adapter is for the base model that the engine serves, and whole.

SGLang does not check: a wrong shape ends its process, and layers that are missing are served without adapter and
without a word. Consumes a verified checkpoint folder and the base model's shapes; produces nothing, or the first thing
found wrong. Legend: R rank, I input and O output features of a layer.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from schemas.errors import CheckpointInvalidError, SettingsError
from streams.tensors import TensorEntry, describe

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
_LORA_NAME = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight")

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """What an engine reads of PEFT's `adapter_config.json`."""

    r: Annotated[int, msgspec.Meta(ge=1)]
    lora_alpha: float
    target_modules: tuple[str, ...]
    use_rslora: bool = False

    @property
    def scale(self) -> float:
        """What the product of both halves is multiplied with."""
        return self.lora_alpha / (math.sqrt(self.r) if self.use_rslora else self.r)


def base_shapes(model_path: Path) -> dict[str, Shape]:
    """Shape of every matrix that an adapter could change: [O, I], by layer name.

    Raises:  SettingsError: the model's weights cannot be read.
    """
    tensors: dict[str, TensorEntry] = {}
    for file in sorted(model_path.glob("*.safetensors")):
        try:
            tensors |= describe(file)
        except CheckpointInvalidError as error:
            message = f"{file} is no whole weight file; set engine.model_path to a whole model folder."
            raise SettingsError(message) from error
    return {
        name.removesuffix(".weight"): entry.shape
        for name, entry in tensors.items()
        if name.endswith(".weight") and len(entry.shape) == 2
    }


def check_fit(folder: Path, base: Mapping[str, Shape], max_rank: int) -> None:
    """Passes when every layer that the adapter targets has both halves, of the right shape.

    Args:    base: `base_shapes` of the served model; max_rank: what the engine has room for.
    Raises:  CheckpointInvalidError: naming the layer.
    """
    config = read_adapter_config(folder)
    if config.r > max_rank:
        message = f"Adapter {folder} has rank {config.r}; raise engine.max_lora_rank, which is {max_rank}."
        raise CheckpointInvalidError(message)
    halves = _halves(folder)
    targets = {layer for layer in base if layer.rsplit(".", 1)[-1] in config.target_modules}
    for layer in sorted(targets | {layer for layer, _ in halves}):
        if layer not in targets:
            message = f"Adapter {folder} changes {layer}, which the base model or the adapter's own list does not have."
            raise CheckpointInvalidError(message)
        num_out, num_in = base[layer]
        for side, expected in (("A", (config.r, num_in)), ("B", (num_out, config.r))):
            _check_half(folder, f"{layer}.lora_{side}", halves.get((layer, side)), expected)


def _check_half(folder: Path, name: str, found: Shape | None, expected: Shape) -> None:
    if found is None:
        message = f"Adapter {folder} lacks {name}; the base model needs one of shape {expected}."
        raise CheckpointInvalidError(message)
    if found != expected:
        message = f"Adapter {folder} has shape {found} for {name}; the base model needs {expected}."
        raise CheckpointInvalidError(message)


def split_name(name: str) -> tuple[str, str] | None:
    """The layer and the side, A or B, that PEFT names a tensor after; None: it is no half of an adapter."""
    found = _LORA_NAME.fullmatch(name)
    return None if found is None else (found["layer"], found["side"])


def read_adapter_config(folder: Path) -> AdapterConfig:
    """How large an adapter is, and for which layers.

    Raises:  CheckpointInvalidError: the file is not there, or no such thing.
    """
    try:
        return msgspec.json.decode((folder / ADAPTER_CONFIG).read_bytes(), type=AdapterConfig)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"Adapter {folder} has no usable {ADAPTER_CONFIG}: {error}."
        raise CheckpointInvalidError(message) from error


def _halves(folder: Path) -> dict[tuple[str, str], Shape]:
    return dict(_named(folder, describe(folder / ADAPTER_WEIGHTS).items()))


def _named(folder: Path, tensors: Iterable[tuple[str, TensorEntry]]) -> Iterable[tuple[tuple[str, str], Shape]]:
    for name, entry in tensors:
        half = split_name(name)
        if half is None:
            message = f"Adapter {folder} holds tensor {name!r}; engines load LoRA matrices only."
            raise CheckpointInvalidError(message)
        yield half, entry.shape
