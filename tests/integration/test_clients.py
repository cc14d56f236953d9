"""Real SDKs, unmodified, through a real gateway process on real Kafka: the programs of `nextstate bench clients`.

Only those whose packages the project has anyway; the benchmark installs the others. A script draws, and once SGLang.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.bench.clients.checks import checked, matched
from infra.bench.clients.engine import ScriptedEngine
from infra.bench.clients.run import run_client
from infra.bench.clients.sglang import RelayedEngine
from infra.bench.clients.stage import Stage, standing
from infra.connect.clients import client_named
from streams.config import KafkaConfig
from tests.conftest import Engine

CLIENTS = ("openai", "openai-responses", "anthropic")
pytestmark = pytest.mark.kafka


@pytest.fixture
def stage(kafka: KafkaConfig, model_path: Path, tmp_path: Path) -> Iterator[Stage]:
    with standing(kafka, ScriptedEngine.of(model_path), model_path, tmp_path / "gateway", CLIENTS) as standing_now:
        yield standing_now


def test_an_sdk_behaves_as_against_its_own_provider_and_every_turn_of_it_is_matched(
    stage: Stage, tmp_path: Path
) -> None:
    for name in CLIENTS:
        ran = run_client(client_named(name), [sys.executable], stage, tmp_path / name)
        assert checked(ran) == dict.fromkeys(checked(ran), ""), f"{name} printed: {ran.output}"
        assert matched(ran.logged) == (4, 4)


@pytest.mark.engine
def test_what_the_model_itself_draws_for_an_sdk_is_recorded_and_matched_turn_by_turn(
    kafka: KafkaConfig, engine: Engine, tmp_path: Path
) -> None:
    relayed = RelayedEngine(engine.url, engine.config, engine.model_path)
    with standing(kafka, relayed, engine.model_path, tmp_path / "gateway", CLIENTS) as stage:
        ran = run_client(client_named("openai"), [sys.executable], stage, tmp_path / "openai")
    wrong = {name: reason for name, reason in checked(ran).items() if reason and name not in relayed.not_asked}
    assert not wrong, f"it printed: {ran.output}"
    assert matched(ran.logged) == (3, 3)
