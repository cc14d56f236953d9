"""How figures of several sides are laid side by side."""

import math

import pytest

from infra.bench.gateway.figures import Figures, Spent, case_figures, case_ratios
from infra.bench.gateway.load import Timing


def timings(*whole_ms: float, first_ms: float | None = None) -> list[Timing]:
    first_s = None if first_ms is None else first_ms / 1000
    return [Timing(first_token_s=first_s, whole_s=whole / 1000) for whole in whole_ms]


def figures(added_ms: float, cpu_s: float, first_ms: float | None = None) -> Figures:
    engine = timings(100, 100, 100, first_ms=None if first_ms is None else 10)
    asked = timings(*[100 + added_ms] * 3, first_ms=None if first_ms is None else 10 + first_ms)
    return case_figures(asked, Spent(own_s=cpu_s, kafka_s=cpu_s / 2, machine_s=6, clock_s=3), engine)


def test_a_side_adds_the_difference_of_percentiles() -> None:
    engine, gateway = timings(100, 101, 102), timings(110, 113, 212)
    found = case_figures(gateway, Spent(clock_s=1.0), engine)
    assert found.whole_ms.p50 == pytest.approx(113)
    assert found.added_whole_ms.p50 == pytest.approx(12)
    assert found.added_whole_ms.p99 == pytest.approx(113 + 0.98 * 99 - (101 + 0.98))
    assert (found.first_token_ms, found.added_first_token_ms) == (None, None)


def test_processor_time_is_per_thousand_requests_and_the_machines_per_second() -> None:
    found = figures(added_ms=5, cpu_s=0.03)
    assert found.num_requests == 3
    assert found.cpu_s_per_1000 == pytest.approx(10)
    assert found.kafka_cpu_s_per_1000 == pytest.approx(5)
    assert found.busy_cores == pytest.approx(2)


def test_ratios_are_the_gateways_over_the_references() -> None:
    ratios = case_ratios(figures(5, 0.03, first_ms=1), figures(50, 0.06, first_ms=10))
    assert ratios.whole.p50 == pytest.approx(0.1)
    assert ratios.first_token is not None
    assert ratios.first_token.p99 == pytest.approx(0.1)
    assert ratios.cpu == pytest.approx(0.5)


def test_a_ratio_to_a_reference_that_adds_nothing_means_nothing() -> None:
    ratios = case_ratios(figures(5, 0.03), figures(-1, 0.03))
    assert math.isnan(ratios.whole.p50)
    assert ratios.first_token is None


def test_spent_adds_up_and_is_taken_apart() -> None:
    one, two = Spent(own_s=1, kafka_s=2, machine_s=3, clock_s=4), Spent(own_s=5, kafka_s=6, machine_s=7, clock_s=9)
    assert (one + two) - one == two
    assert (two - one).clock_s == 5
