"""Tensors in a safetensors file, read without torch: names, shapes, types, and whether every number is finite.

Consumes: a `.safetensors` file. Produces: `TensorEntry` per tensor, as checkpoint manifests list them.
The file is mapped, not loaded: a checkpoint of any size is read in the memory of one tensor.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from schemas.errors import CheckpointInvalidError

# Per safetensors type: the unsigned integer that holds it, and its exponent bits. All of them set is inf or NaN in
# every IEEE format, so bfloat16, which numpy lacks, needs no conversion.
_EXPONENTS: dict[str, tuple[str, int]] = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
_EXACT = frozenset({"I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"})  # have no inf and no NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """Shape and safetensors type name ("F32", "BF16" ...) of one tensor."""

    shape: tuple[int, ...]
    dtype: str


def describe(path: Path) -> dict[str, TensorEntry]:
    """Every tensor of a file, from its header alone.

    Raises:  CheckpointInvalidError: the file is truncated, too long, or no safetensors file.
    """
    try:
        with safe_open(path, "np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no dict
            return {
                name: TensorEntry(shape=tuple(part.get_shape()), dtype=part.get_dtype())
                for name, part in slices.items()
            }
    except (SafetensorError, OSError) as error:
        message = f"Weight file {path} is not a whole safetensors file ({error}); publish the checkpoint again."
        raise CheckpointInvalidError(message) from error


def check_finite(path: Path) -> None:
    """Passes when no number in the file is inf or NaN.

    Raises:  CheckpointInvalidError: one is, or a tensor has a type that cannot be checked; names the tensor.
    """
    for name, entry in describe(path).items():
        if entry.dtype in _EXACT:
            continue
        if entry.dtype not in _EXPONENTS:
            message = f"Tensor {name!r} in {path} has type {entry.dtype}; use F64, F32, F16 or BF16."
            raise CheckpointInvalidError(message)
        integer, mask = _EXPONENTS[entry.dtype]
        bits = _mapped(path, name, integer)
        if bool(np.any((bits & bits.dtype.type(mask)) == mask)):
            message = f"Tensor {name!r} in {path} holds inf or NaN; the update that made it diverged."
            raise CheckpointInvalidError(message)


def _mapped(path: Path, name: str, integer: str) -> "np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]":
    """The raw numbers of one tensor of a file whose header `describe` has already accepted."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        start, end = json.loads(file.read(header_bytes))[name]["data_offsets"]
        file.seek(8 + header_bytes + start)
        return np.frombuffer(file.read(end - start), dtype=integer)
