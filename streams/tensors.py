"""Tensors in a safetensors file, read without torch: names, shapes, types, and whether every number is finite.

Consumes: a `.safetensors` file. Produces: `TensorEntry` per tensor, as checkpoint manifests list them.
The file is mapped, not loaded: a checkpoint of any size is read in the memory of one tensor.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

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
Bits = np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]
Numbers = np.ndarray[tuple[int, ...], np.dtype[np.floating]]
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<f4"}  # how the bits above are read as numbers
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
    describe(path)  # a broken header is named there
    with path.open("rb") as file:
        for name, entry in _header(file):
            if entry["dtype"] in _EXACT:
                continue
            if entry["dtype"] not in _EXPONENTS:
                message = f"Tensor {name!r} in {path} has type {entry['dtype']}; use F64, F32, F16 or BF16."
                raise CheckpointInvalidError(message)
            integer, mask = _EXPONENTS[entry["dtype"]]
            bits = _bits(file, entry, integer)
            if bool(np.any((bits & bits.dtype.type(mask)) == mask)):
                message = f"Tensor {name!r} in {path} holds inf or NaN; the update that made it diverged."
                raise CheckpointInvalidError(message)


def read_numbers(path: Path, max_rows: int | None = None) -> Iterator[tuple[str, Numbers]]:
    """Every tensor of floating numbers in a file that `describe` accepts, by name, as float32 or wider.

    Args:    max_rows: no more than the first ones of each.
    """
    with path.open("rb") as file:
        for name, entry in _header(file):
            if entry["dtype"] not in _FLOATS or not entry["shape"]:
                continue
            shape = (min(max_rows or entry["shape"][0], entry["shape"][0]), *entry["shape"][1:])
            bits = _bits(file, entry, _EXPONENTS[entry["dtype"]][0], math.prod(shape))
            if entry["dtype"] == "BF16":  # the upper half of a float32
                bits = np.left_shift(bits.astype(np.uint32), np.uint32(16))
            yield name, bits.view(_FLOATS[entry["dtype"]]).reshape(shape)


def _header(file: BinaryIO) -> list[tuple[str, dict[str, Any]]]:
    """What a file says of its tensors; `data_offsets` count from the beginning of the file."""
    header_bytes = int.from_bytes(file.read(8), "little")
    entries: dict[str, dict[str, Any]] = json.loads(file.read(header_bytes))
    entries.pop("__metadata__", None)
    starts = 8 + header_bytes
    return [
        (name, {**entry, "data_offsets": [starts + offset for offset in entry["data_offsets"]]})
        for name, entry in entries.items()
    ]


def _bits(file: BinaryIO, entry: dict[str, Any], integer: str, count: int = -1) -> Bits:
    """The raw numbers of a tensor, or its first `count`."""
    start, end = entry["data_offsets"]
    file.seek(start)
    return np.frombuffer(file.read(end - start if count < 0 else count * np.dtype(integer).itemsize), dtype=integer)
