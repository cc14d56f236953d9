"""What `bench recorder` prints, with everything and without OpenTelemetry's SDK and collector."""

import io
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from infra.bench.percentiles import Percentiles
from infra.bench.recorder.figures import Burst, CallCost, Outflow, WayCosts
from infra.bench.recorder.hearing import HearingCase, HearingTable, Taken
from infra.bench.recorder.job import WITHOUT_COLLECTOR, Plan, RecorderTable
from infra.bench.recorder.telling import TellingTable
from infra.commands import bench_recorder
from infra.settings import Settings
from schemas.errors import FatalError

TENTH = Percentiles(p50=0.1, p99=0.2)
CALL = CallCost(kind="feedback", num_calls=1500, added_us=Percentiles(p50=8.25, p99=1020), ratio=TENTH)
COSTS = WayCosts(way="recorder", calls=(CALL,), processor_us=500.0, processor_ratio=2.0)
FLOW = Outflow(way="recorder", prompt="none", turns_per_s=3_000, ratio=1.5, processor_us=250)
BURST = Burst(
    way="recorder",
    num_turns=30_000,
    num_out=12_000,
    num_dropped=18_000,
    is_drop_counted=True,
    told_per_s=100_000,
    grown_bytes=64 * 2**20,
)
TAKEN = Taken(
    receiver="gateway",
    spans_per_s=2_000,
    mib_per_s=4.0,
    answer_ms=Percentiles(p50=900, p99=1000),
    cpu_s_per_1000=0.5,
    kafka_cpu_s_per_1000=0.25,
    speed=1.0,
)
TABLE = RecorderTable(
    num_cores=2,
    telling=TellingTable(pace_s=0.005, costs=(COSTS,), outflows=(FLOW,), bursts=(BURST,)),
    hearing=HearingTable(
        num_senders=4,
        cases=(HearingCase(prompt="none", spans_per_batch=512, mib_per_batch=1.25, taken=(TAKEN,)),),
    ),
    notes=(WITHOUT_COLLECTOR,),
)


def printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: RecorderTable = TABLE, *, as_json: bool = False
) -> str:
    monkeypatch.setattr(bench_recorder, "bench_recorder", lambda *_: table)
    monkeypatch.setattr(bench_recorder, "fetch_jars", lambda *_: ())
    out = io.StringIO()
    monkeypatch.setattr(bench_recorder, "Console", lambda **_: Console(file=out, width=132))
    monkeypatch.setattr(bench_recorder.click, "echo", lambda text: out.write(text.decode()))
    settings = Settings.model_validate({"engine": {"model_path": str(tmp_path)}})
    assert bench_recorder.show_recorder(settings, Plan(), as_json=as_json, report=print) == 0
    return out.getvalue()


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]


def test_a_row_for_each_call_outflow_burst_and_receiver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = printed(monkeypatch, tmp_path)
    assert rows(text) == [
        ["recorder", "feedback", "1,500", "8.2 / 1,020.0", "0.10 / 0.20"],
        ["recorder", "processor time of the whole program, a call", "", "500", "2.00"],
        ["none", "recorder", "3,000", "1.50", "250"],
        ["recorder", "30,000", "100,000", "12,000", "18,000, counted", "64"],
        ["none", "512, 1.2 MiB", "gateway", "2,000", "4.0", "900 / 1,000", "0.50", "0.25", "1.00"],
    ]
    assert " ".join(text.split()).endswith(WITHOUT_COLLECTOR)


def test_without_the_sdk_its_ratios_are_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone = replace(COSTS, calls=(replace(CALL, ratio=None),), processor_ratio=None)
    assert TABLE.telling is not None
    told = replace(TABLE.telling, costs=(alone,), outflows=(replace(FLOW, ratio=None),))
    found = rows(printed(monkeypatch, tmp_path, replace(TABLE, telling=told, hearing=None)))
    assert [row[-1] for row in found[:2]] == ["", ""]
    assert found[2][3] == ""
    assert len(found) == 4


def test_json_has_every_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = orjson.loads(printed(monkeypatch, tmp_path, as_json=True))
    assert found["telling"]["costs"][0]["calls"][0]["ratio"] == {"p50": 0.1, "p99": 0.2}
    assert found["hearing"]["cases"][0]["taken"][0]["speed"] == 1.0


def test_a_collector_that_is_not_there_ends_it_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="--collector: there is no program"):
        bench_recorder.show_recorder(Settings(), Plan(collector=tmp_path / "none"), as_json=False, report=print)
