"""`Percentiles`: the two that benchmarks tell of a quantity, and how two of them are laid side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Of one quantity. A ratio is nan (in JSON: null) where it means nothing, because what it is to is not positive."""

    p50: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float], unit: float = 1.0) -> Self:
        """Of measured values. Args: unit: how many of the values' own unit are one of the result's."""
        p50, p99 = np.percentile(values, (50, 99)) / unit
        return cls(p50=float(p50), p99=float(p99))

    def __sub__(self, other: "Percentiles") -> "Percentiles":
        return Percentiles(p50=self.p50 - other.p50, p99=self.p99 - other.p99)

    def __truediv__(self, other: "Percentiles") -> "Percentiles":
        return Percentiles(p50=ratio(self.p50, other.p50), p99=ratio(self.p99, other.p99))


def ratio(one: float, other: float) -> float:
    """One over the other; nan where the other is not positive."""
    return one / other if other > 0 else math.nan
