"""The benchmark of the recorder at a tiny size: real programs and spans, into a real Kafka, all of it found there."""

from pathlib import Path

import pytest

from infra.bench.recorder.content import LONG, SHORT
from infra.bench.recorder.hearing import HearingPlan, Load
from infra.bench.recorder.job import Place, Plan, bench_recorder
from infra.bench.recorder.telling import AWAY, RECORDER, TellingPlan, prove
from infra.bench.recorder.ways import Way, Ways
from infra.home import Home
from infra.kafka.jars import fetch_jars
from infra.settings import Settings
from schemas.errors import FatalError
from streams.config import KafkaConfig

pytestmark = pytest.mark.kafka
PLAN = Plan(
    telling=TellingPlan(rounds=1, num_paced=4, num_steady_short=8, num_steady_long=4, num_burst=100),
    hearing=HearingPlan(
        rounds=1,
        num_senders=2,
        loads=(
            Load(prompt=SHORT, spans_per_batch=16, num_batches=3),
            Load(prompt=LONG, spans_per_batch=8, num_batches=2),
        ),
    ),
)


def test_all_is_measured_and_found_in_the_log(
    home: Home, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")  # what OpenTelemetry's SDK costs is left out, and said to be
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setattr("infra.bench.recorder.telling.NUM_WARM_UP", 2)
    settings = Settings.model_validate({"engine": {"model_path": str(model_path)}})
    place = Place(jars=fetch_jars(home.jars, print), clients=tmp_path / "clients", folder=tmp_path / "run")
    table = bench_recorder(settings, PLAN, place, print)

    assert table.telling is not None
    assert [costs.way for costs in table.telling.costs] == [RECORDER, AWAY]
    for costs in table.telling.costs:
        assert [call.num_calls for call in costs.calls] == [4] * 4
        assert all(0 < call.added_us.p50 < 100_000 for call in costs.calls)
    assert [(flow.prompt, flow.way) for flow in table.telling.outflows] == [
        (prompt, way) for prompt in (SHORT, LONG) for way in (RECORDER, AWAY)
    ]
    assert [(burst.way, burst.num_out, burst.num_dropped) for burst in table.telling.bursts] == [(RECORDER, 100, 0)]

    assert table.hearing is not None
    assert [[taken.receiver for taken in case.taken] for case in table.hearing.cases] == [
        ["gateway", "bare receiver"]
    ] * 2
    assert sum(case.taken[0].cpu_s_per_1000 for case in table.hearing.cases) > 0
    assert [note.partition(".")[0] for note in table.notes] == [
        "Without OpenTelemetry's SDK: OpenTelemetry's SDK cannot be installed: "
        + table.notes[0].partition("installed: ")[2].partition(".")[0],
        "Without the OpenTelemetry Collector",
    ]


def test_what_the_log_lacks_is_no_figure(kafka: KafkaConfig, tmp_path: Path) -> None:
    ways, recorder = Ways(tmp_path), Way(name=RECORDER, side="recorder", python="")
    prove(kafka, ways, recorder)
    ways.told, ways.counts = {RECORDER: 5}, {RECORDER: {"kafka": 3, "dropped": 2}}
    with pytest.raises(FatalError, match="the log holds 0 actions of 3, 0 events of 3"):
        prove(kafka, ways, recorder)
