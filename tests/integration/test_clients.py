"""Real SDKs, unmodified, through a real gateway process on real Kafka: the programs of `nextstate bench clients`.

Only those whose packages the project has anyway; the benchmark installs the others.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.bench.clients.checks import checked, matched
from infra.bench.clients.engine import ScriptedEngine
from infra.bench.clients.run import run_client
from infra.bench.clients.stage import Stage, standing
from infra.connect.clients import client_named
from streams.config import KafkaConfig

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
