"""What `bench gateway` prints, with the reference and without, and what it says of a folder that is no checkout."""

import io
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from infra.bench.gateway.figures import Case, Spent, case_figures, case_ratios
from infra.bench.gateway.job import WITHOUT_REFERENCE, GatewayTable, Plan
from infra.bench.gateway.load import Timing
from infra.bench.gateway.sides import Reference
from infra.commands import bench_gateway
from infra.settings import Settings
from schemas.errors import FatalError


def case(*, is_streaming: bool, with_reference: bool) -> Case:
    first_s = 0.01 if is_streaming else None
    engine, gateway, reference = (
        [Timing(first_token_s=first_s and first_s + added_s, whole_s=0.1 + added_s)] * 4 for added_s in (0, 0.005, 0.02)
    )
    spent = Spent(own_s=0.02, kafka_s=0.01, machine_s=3.0, clock_s=2.0)
    ours, theirs = case_figures(gateway, spent, engine), case_figures(reference, spent + spent, engine)
    return Case(
        prompt="agent's",
        prompt_tokens=11_097,
        num_streams=64,
        is_streaming=is_streaming,
        engine=case_figures(engine, spent, engine),
        gateway=ours,
        reference=theirs if with_reference else None,
        ratios=case_ratios(ours, theirs) if with_reference else None,
    )


def printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, with_reference: bool, as_json: bool = False) -> str:
    cases = tuple(case(is_streaming=streams, with_reference=with_reference) for streams in (True, False))
    table = GatewayTable(num_cores=2, num_turns=4, cases=cases, notes=(WITHOUT_REFERENCE,))
    monkeypatch.setattr(bench_gateway, "bench_gateway", lambda *_, **__: table)
    monkeypatch.setattr(bench_gateway, "fetch_jars", lambda *_: ())
    out = io.StringIO()
    monkeypatch.setattr(bench_gateway, "Console", lambda **_: Console(file=out, width=132))
    monkeypatch.setattr(bench_gateway.click, "echo", lambda text: out.write(text.decode()))
    settings = Settings.model_validate({"engine": {"model_path": str(tmp_path)}})
    assert bench_gateway.show_gateway(settings, Plan(), None, as_json=as_json, report=print) == 0
    return out.getvalue()


def rows(text: str, words: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if words in line]


def test_a_row_says_what_each_side_adds_and_the_ratio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = printed(monkeypatch, tmp_path, with_reference=True)
    head = ["agent's", "11,097", "64"]
    assert rows(text, "first words") == [
        [*head, "first words", "4", "10.0 / 10.0", "5.0 / 5.0", "20.0 / 20.0", "0.25 / 0.25"]
    ]
    assert rows(text, "end, in one piece") == [
        [*head, "end, in one piece", "4", "100 / 100", "5.0 / 5.0", "20.0 / 20.0", "0.25 / 0.25"]
    ]
    assert rows(text, "1.5 / 1.5 / 1.5")[0] == [
        "agent's",
        "64",
        "yes",
        "5.00",
        "2.50",
        "10.00",
        "0.50",
        "1.5 / 1.5 / 1.5",
    ]


def test_without_the_reference_its_cells_are_empty_and_a_note_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = printed(monkeypatch, tmp_path, with_reference=False)
    assert rows(text, "first words")[0][-2:] == ["", ""]
    assert " ".join(text.split()).endswith(WITHOUT_REFERENCE)


def test_json_has_every_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    streamed, whole = orjson.loads(printed(monkeypatch, tmp_path, with_reference=True, as_json=True))["cases"]
    assert streamed["reference"]["added_first_token_ms"]["p99"] == pytest.approx(20)
    assert whole["reference"]["added_first_token_ms"] is None
    assert whole["ratios"]["whole"]["p50"] == pytest.approx(0.25)


def test_a_folder_that_is_no_checkout_ends_it_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="name a checkout of Gen-Verse/OpenClaw-RL"):
        bench_gateway.show_gateway(Settings(), Plan(), Reference(checkout=tmp_path), as_json=False, report=print)
