"""`Measured`: what one way of doing an optimizer step took and found. Imports nothing: it travels between processes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`gradient` is the mean over turns, float32, of all trained weights in the order of their names."""

    seconds: float  # of processor time
    peak_bytes: int
    loss: float
    gradient: bytes
