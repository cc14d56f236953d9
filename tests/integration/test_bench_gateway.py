"""The benchmark of the gateway at a tiny size: real requests through real processes, recorded by who has to record."""

from itertools import product
from pathlib import Path

import httpx
import pytest

from infra.bench.gateway.job import ALONE, PROMPTS, WITH_REFERENCE, GatewayTable, Plan, bench_gateway
from infra.bench.gateway.proof import prove
from infra.bench.gateway.rounds import Pace
from infra.bench.gateway.sides import Reference, Sides, running_engine
from infra.home import Home
from infra.kafka.jars import fetch_jars
from infra.settings import Settings
from schemas.errors import FatalError
from streams.config import KafkaConfig

pytestmark = pytest.mark.kafka
PLAN = Plan(rounds_alone=1, rounds_together=1, num_streams=3, num_turns=2)
QUICK = Pace(first_token_s=0.0, token_s=0.001)
SERVER = Path(__file__).parents[1] / "openclaw_stand_in.py"


def checkout(folder: Path) -> Path:
    """A repository of the reference's layout, whose server does little."""
    for name, text in {
        "openclaw-rl/openclaw_api_server.py": SERVER.read_text(),
        "slime/slime/__init__.py": "",
        "slime/slime/utils/__init__.py": "",
        "slime/slime/utils/types.py": "class Sample: ...",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def settings(model_path: Path) -> Settings:
    return Settings.model_validate({"engine": {"model_path": str(model_path)}})


def bench(settings: Settings, reference: Reference | None, home: Home, folder: Path) -> GatewayTable:
    jars = fetch_jars(home.jars, print)
    return bench_gateway(settings, PLAN, reference, jars=jars, folder=folder, report=print)


def test_every_case_is_measured_on_every_side(
    settings: Settings, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.bench.gateway.job.TOGETHER", QUICK)
    table = bench(settings, Reference(checkout=checkout(tmp_path / "theirs")), home, tmp_path / "run")
    kinds = [(case.num_streams, case.prompt, case.is_streaming) for case in table.cases]
    assert kinds == list(product((1, PLAN.num_streams), PROMPTS, (True, False)))
    assert table.notes[-1] == WITH_REFERENCE
    for case in table.cases:
        assert case.reference is not None
        assert case.ratios is not None
        for figures in (case.engine, case.gateway, case.reference):
            assert figures.num_requests == case.num_streams * PLAN.num_turns
            assert (figures.first_token_ms is not None) == case.is_streaming
            pace = ALONE if case.num_streams == 1 else QUICK
            assert figures.whole_ms.p50 >= 1000 * pace.answer_s  # no answer ends before the engine has drawn it
        assert case.gateway.cpu_s_per_1000 > 0
    small, large = (case.prompt_tokens for case in table.cases[::2][:2])
    assert large > 8_000 > 100 > small


def test_figures_of_turns_that_were_not_recorded_do_not_count(
    model_path: Path, kafka: KafkaConfig, tmp_path: Path
) -> None:
    with running_engine(str(model_path), tmp_path) as engine:
        sides = Sides(
            engine=engine, gateway=engine, reference=None, kafka=kafka, kafka_pids=(), record_file=tmp_path / "none"
        )
        prove(sides, 0, 4)
        with pytest.raises(FatalError, match="0 answers that the engine drew, but it made 8"):
            prove(sides, 4, 4)
        for _ in range(8):
            httpx.post(f"{engine.url}/v1/chat/completions", json={"messages": []}, trust_env=False)
        with pytest.raises(FatalError, match="0 actions that the gateway recorded, but it made 4"):
            prove(sides, 4, 4)


def test_a_folder_that_is_no_checkout_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"has no openclaw-rl/openclaw_api_server\.py; name a checkout"):
        Reference(checkout=tmp_path).check()
    (tmp_path / "openclaw-rl").mkdir()
    (tmp_path / "openclaw-rl" / "openclaw_api_server.py").touch()
    with pytest.raises(FatalError, match=r"has no slime/slime/utils/types\.py; name a checkout"):
        Reference(checkout=tmp_path).check()
    Reference(checkout=checkout(tmp_path)).check()
