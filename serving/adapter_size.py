"""`check_size`: whether a LoRA adapter changes the base model by no more than a bound; a huge one only makes noise.

An adapter adds `alpha / r * B A` to a layer's weights W. Its size is told in sizes of W: |alpha / r * B A| / |W|, both
Frobenius norms. That of B A follows from two R x R products; the matrix itself, as large as the layer, is never made.
Legend: R rank, I input and O output features of a layer.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from schemas.errors import CheckpointInvalidError
from serving.adapter_fit import ADAPTER_WEIGHTS, Shape, read_adapter_config, split_name
from streams.tensors import Numbers, read_numbers

_SAMPLE_ROWS = 16  # of each layer: enough for a mean of squares, and a 70B model is not read whole
_NOTHING = 1e-30  # a layer of zeros: any change of it is huge


def base_sizes(model_path: Path, shapes: Mapping[str, Shape]) -> dict[str, float]:
    """Frobenius norm of each layer's weights, estimated from its first rows. Args: shapes: `base_shapes` of it."""
    rows = (pair for file in sorted(model_path.glob("*.safetensors")) for pair in read_numbers(file, _SAMPLE_ROWS))
    return {
        layer: float(np.sqrt(np.mean(np.square(rows_RI, dtype=np.float64)) * math.prod(shapes[layer])))
        for name, rows_RI in rows
        if (layer := name.removesuffix(".weight")) in shapes
    }


def check_size(folder: Path, sizes: Mapping[str, float], limit: float) -> None:
    """Passes when no layer changes by more than `limit` times its size.

    Args:    folder: of an adapter that fits (`check_fit`); sizes: `base_sizes` of the served model.
    Raises:  CheckpointInvalidError: naming the layer that changes most.
    """
    scale = abs(read_adapter_config(folder).scale)
    halves = {split_name(name): half for name, half in read_numbers(folder / ADAPTER_WEIGHTS)}
    changes = (
        (scale * _norm(halves[name[0], "A"], half) / max(sizes[name[0]], _NOTHING), name[0])
        for name, half in halves.items()
        if name is not None and name[1] == "B"
    )
    change, worst = max(changes, default=(0.0, ""))
    if not change <= limit:  # NaN, too
        message = (
            f"Adapter {folder} changes {worst} by {change:.3g} times its own size, but reload.max_weight_change is "
            f"{limit:g}; the update that made it diverged."
        )
        raise CheckpointInvalidError(message)


def _norm(half_a: Numbers, half_b: Numbers) -> float:
    """|B A| of an A [R, I] and a B [O, R], by |B A|^2 = sum of (B^T B) * (A A^T)."""
    wide_a, wide_b = half_a.astype(np.float64), half_b.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # inf is larger than any limit
        return math.sqrt(max(float(np.sum((wide_b.T @ wide_b) * (wide_a @ wide_a.T))), 0.0))
