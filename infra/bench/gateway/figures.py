"""The figures of `bench gateway`: what was measured of each side, and how the sides compare. Pure.

A side *adds* the difference between its percentile and the engine's: p50 less p50, p99 less p99.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.bench.gateway.load import Timing
from infra.bench.percentiles import Percentiles, ratio

_S_PER_MS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Seconds of processor time while a side was asked: its own, its Kafka's, the whole machine's; and of the clock."""

    own_s: float = 0.0
    kafka_s: float = 0.0
    machine_s: float = 0.0
    clock_s: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            own_s=self.own_s + other.own_s,
            kafka_s=self.kafka_s + other.kafka_s,
            machine_s=self.machine_s + other.machine_s,
            clock_s=self.clock_s + other.clock_s,
        )

    def __sub__(self, other: "Spent") -> "Spent":
        return self + Spent(
            own_s=-other.own_s, kafka_s=-other.kafka_s, machine_s=-other.machine_s, clock_s=-other.clock_s
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One side in one case. First tokens are None where answers came whole; added is 0 for the engine itself.

    `cpu_s_per_1000`: seconds of processor time per 1,000 requests, of the side's own processes and of Kafka beside it.
    `busy_cores`: of the machine while it was asked, all processes together; near their number, waiting is in the times.
    """

    num_requests: int
    first_token_ms: Percentiles | None
    whole_ms: Percentiles
    added_first_token_ms: Percentiles | None
    added_whole_ms: Percentiles
    cpu_s_per_1000: float
    kafka_cpu_s_per_1000: float
    busy_cores: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """What the gateway adds over what the reference adds, and processor time likewise."""

    first_token: Percentiles | None
    whole: Percentiles
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of request: prompt, how many streams at once, and whether answers stream."""

    prompt: str
    prompt_tokens: int  # of a conversation's first request
    num_streams: int
    is_streaming: bool
    engine: Figures
    gateway: Figures
    reference: Figures | None
    ratios: Ratios | None


def case_figures(timings: Sequence[Timing], spent: Spent, engine: Sequence[Timing]) -> Figures:
    """One side beside the engine."""
    first_ms, bare_first_ms = _first_tokens(timings), _first_tokens(engine)
    whole_ms, bare_whole_ms = _wholes(timings), _wholes(engine)
    return Figures(
        num_requests=len(timings),
        first_token_ms=first_ms,
        whole_ms=whole_ms,
        added_first_token_ms=None if first_ms is None or bare_first_ms is None else first_ms - bare_first_ms,
        added_whole_ms=whole_ms - bare_whole_ms,
        cpu_s_per_1000=1000 * spent.own_s / len(timings),
        kafka_cpu_s_per_1000=1000 * spent.kafka_s / len(timings),
        busy_cores=spent.machine_s / spent.clock_s,
    )


def case_ratios(gateway: Figures, reference: Figures) -> Ratios:
    """The gateway over the reference."""
    ours, theirs = gateway.added_first_token_ms, reference.added_first_token_ms
    return Ratios(
        first_token=None if ours is None or theirs is None else ours / theirs,
        whole=gateway.added_whole_ms / reference.added_whole_ms,
        cpu=ratio(gateway.cpu_s_per_1000, reference.cpu_s_per_1000),
    )


def _first_tokens(timings: Sequence[Timing]) -> Percentiles | None:
    firsts = [timing.first_token_s for timing in timings if timing.first_token_s is not None]
    return Percentiles.of(firsts, _S_PER_MS) if firsts else None


def _wholes(timings: Sequence[Timing]) -> Percentiles:
    return Percentiles.of([timing.whole_s for timing in timings], _S_PER_MS)
