"""How what calls cost is laid side by side: beside a call that does nothing, and beside OpenTelemetry's SDK."""

import math

import pytest

from infra.bench.percentiles import Percentiles
from infra.bench.recorder.figures import Paced, way_costs

TURN = "turn"


def paced(turn_us: float, used_s: float) -> Paced:
    return Paced({TURN: [int(1000 * turn_us)] * 100, "feedback": [1000] * 100}, used_s)


def test_a_call_adds_what_a_call_that_does_nothing_does_not_take() -> None:
    ours, theirs = way_costs({"nothing": paced(1, 0.1), "a": paced(11, 0.3), "b": paced(101, 0.2)}, "nothing", "b")
    assert (ours.way, theirs.way) == ("a", "b")
    turn, feedback = ours.calls
    assert (turn.kind, turn.num_calls) == (TURN, 100)
    assert turn.added_us == Percentiles(p50=10, p99=10)
    assert turn.ratio == Percentiles(p50=0.1, p99=0.1)
    assert feedback.added_us.p50 == 0
    assert theirs.calls[0].ratio is None
    assert ours.processor_us == pytest.approx(1000)
    assert ours.processor_ratio == pytest.approx(2)


def test_without_the_sdk_there_is_no_ratio() -> None:
    (ours,) = way_costs({"nothing": paced(1, 0.1), "a": paced(11, 0.3)}, "nothing", "b")
    assert ours.calls[0].ratio is None
    assert ours.processor_ratio is None


def test_rounds_add_up() -> None:
    both = paced(1, 0.1)
    both.add({TURN: [5]}, 0.2)
    assert (both.num_calls, both.used_s) == (201, pytest.approx(0.3))


def test_percentiles_are_of_a_unit_and_a_ratio_to_nothing_means_nothing() -> None:
    assert Percentiles.of([1000, 3000, 2000], 1000).p50 == 2
    assert math.isnan((Percentiles(p50=1, p99=1) / Percentiles(p50=0, p99=-1)).p99)
