"""The sender of OTLP batches, before a collector that behaves, one that refuses and one that loses spans."""

import stat
import sys
from pathlib import Path

import pytest

from infra.bench.recorder.content import SHORT
from infra.bench.recorder.hearing import HearingPlan, Load, bench_hearing
from infra.bench.recorder.receivers import VERBOSITIES, check_collector, collector
from schemas.errors import FatalError

PLAN = HearingPlan(rounds=2, num_senders=2, loads=(Load(prompt=SHORT, spans_per_batch=8, num_batches=3),))
COLLECTOR = Path(__file__).parents[3] / "collector_stand_in.py"


def program(folder: Path, *arguments: str) -> Path:
    """An `otelcol` that reads its configuration, answers, and logs as the debug exporter does."""
    path = folder / "otelcol"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{COLLECTOR}" {" ".join(arguments)} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_every_receiver_gets_every_batch_and_is_laid_beside_the_first(tmp_path: Path) -> None:
    otelcol = program(tmp_path)
    with collector(otelcol, "basic", tmp_path) as basic, collector(otelcol, "detailed", tmp_path) as detailed:
        table = bench_hearing([basic, detailed], PLAN, print)
        assert basic.num_taken() == detailed.num_taken() == 8 * (1 + 2 * 3)
    (case,) = table.cases
    assert (case.prompt, case.spans_per_batch) == (SHORT, 8)
    assert [taken.receiver for taken in case.taken] == [f"collector, {verbosity}" for verbosity in VERBOSITIES]
    first, second = case.taken
    assert first.speed == 1.0
    assert second.speed == pytest.approx(first.spans_per_s / second.spans_per_s)
    assert first.mib_per_s == pytest.approx(first.spans_per_s * case.mib_per_batch / 8)
    assert 0 < first.answer_ms.p50 <= first.answer_ms.p99


def test_a_receiver_that_refuses_or_loses_spans_has_no_figures(tmp_path: Path) -> None:
    with (
        collector(program(tmp_path, "--refuse"), "basic", tmp_path) as refusing,
        pytest.raises(FatalError, match=r"The collector, basic refused a batch \(503\): b'too busy'"),
    ):
        bench_hearing([refusing], PLAN, print)
    with (
        collector(program(tmp_path, "--lose"), "detailed", tmp_path) as losing,
        pytest.raises(FatalError, match="the collector, detailed had 0 spans of 56"),
    ):
        bench_hearing([losing], PLAN, print)


def test_a_collector_that_is_not_there_or_does_not_start_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"^--collector: there is no program .*none; name one"):
        check_collector(tmp_path / "none")
    with (
        pytest.raises(FatalError, match=r"collector did not get on; .* ends: cannot listen"),
        collector(program(tmp_path, "--end"), "basic", tmp_path),
    ):
        pass
