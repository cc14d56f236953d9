"""The figures of telling: what calls cost the program that makes them, beside OpenTelemetry's SDK. Pure.

What a call *adds* is its percentile less that of a call that does nothing, timed in the same way in the same round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.bench.percentiles import Percentiles, ratio

_NS_PER_US = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCost:
    """One kind of call, told in one way. `ratio`: of p50 and p99 to those of OpenTelemetry's SDK, where it ran."""

    kind: str
    num_calls: int
    added_us: Percentiles
    ratio: Percentiles | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WayCosts:
    """All kinds, told in one way. `processor_us`: of the whole program per call, what is in the background included."""

    way: str
    calls: tuple[CallCost, ...]
    processor_us: float
    processor_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outflow:
    """How fast turns get out of a program that tells no more than do: the median of the rounds."""

    way: str
    prompt: str
    turns_per_s: float
    ratio: float | None  # to OpenTelemetry's SDK
    processor_us: float  # per turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """A program that tells more than gets out. `grown_bytes`: of its memory, once all is told or out."""

    way: str
    num_turns: int
    num_out: int
    num_dropped: int
    is_drop_counted: bool  # by the side itself
    told_per_s: float
    grown_bytes: int


@dataclass(slots=True)
class Paced:
    """What rounds of paced calls found of one way. `took_ns` by kind; `used_s` of processor time."""

    took_ns: dict[str, list[int]]
    used_s: float

    @property
    def num_calls(self) -> int:
        """Of all kinds."""
        return sum(map(len, self.took_ns.values()))

    def add(self, took_ns: Mapping[str, Sequence[int]], used_s: float) -> None:
        """Another round."""
        for kind, times in took_ns.items():
            self.took_ns.setdefault(kind, []).extend(times)
        self.used_s += used_s


def way_costs(paced: Mapping[str, Paced], nothing: str, rival: str) -> tuple[WayCosts, ...]:
    """What each way costs beside calls that do nothing.

    Args:    nothing: the name of the way that does nothing; rival: of the one that others are compared with, if it ran.
    """
    bare = paced[nothing]
    names = [name for name in paced if name != nothing]
    added = {name: _added(paced[name], bare) for name in names}
    processor = {name: _processor_us(paced[name]) - _processor_us(bare) for name in names}
    theirs = added.get(rival)
    return tuple(
        WayCosts(
            way=name,
            calls=tuple(
                CallCost(
                    kind=kind,
                    num_calls=len(paced[name].took_ns[kind]),
                    added_us=us,
                    ratio=us / theirs[kind] if theirs is not None and name != rival else None,
                )
                for kind, us in added[name].items()
            ),
            processor_us=processor[name],
            processor_ratio=ratio(processor[name], processor[rival]) if theirs is not None and name != rival else None,
        )
        for name in names
    )


def _added(paced: Paced, bare: Paced) -> dict[str, Percentiles]:
    return {
        kind: Percentiles.of(times, _NS_PER_US) - Percentiles.of(bare.took_ns[kind], _NS_PER_US)
        for kind, times in paced.took_ns.items()
    }


def _processor_us(paced: Paced) -> float:
    return 1_000_000 * paced.used_s / paced.num_calls
