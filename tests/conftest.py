"""Real things that tests share: one Kafka broker and one SGLang server per test session, the small model."""

import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

from infra.home import Home
from infra.kafka.broker import Broker
from infra.kafka.jars import fetch_jars
from infra.model import prepare_small_model
from infra.ports import choose_port
from infra.process import Process, last_line, with_tethered_children
from serving.config import EngineConfig
from serving.launch.command import HOST, command
from streams.config import KafkaConfig

BROKER_START_S = 60.0
ENGINE_START_S = 900.0  # 40 s on two idle cores; others may be at work on them
POLL_S = 0.5
REPOSITORY = Path(__file__).parent.parent

settings.register_profile("never timed", deadline=None)  # a busy machine is no failure
settings.load_profile("never timed")


@pytest.fixture(scope="session")
def home() -> Home:
    """Where jars and models stay between test runs."""
    return Home(Path(os.environ.get("NEXTSTATE_HOME", REPOSITORY / ".nextstate")))


@pytest.fixture(scope="session")
def model_path(home: Home) -> Path:
    """Folder of the real small model."""
    return prepare_small_model(home.models, print)


@pytest.fixture(scope="session")
def broker(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real broker with a fresh folder."""
    folder = tmp_path_factory.mktemp("broker")
    node = Broker(
        jars=fetch_jars(home.jars, print),
        folder=folder,
        port=choose_port(None, ""),
        controller_port=choose_port(None, ""),
    )
    node.prepare()
    process = Process.start("kafka", node.command(), folder / "kafka.log", {})
    try:
        from streams.admin import wait_for_broker

        wait_for_broker(KafkaConfig(bootstrap_servers=node.bootstrap_servers), BROKER_START_S)
        yield node
    finally:
        process.kill()


@pytest.fixture
def kafka(broker: Broker) -> KafkaConfig:
    """The broker, with topics of this test's own."""
    from streams.admin import create_topics

    config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers, topic_prefix=f"t{secrets.token_hex(4)}.")
    create_topics(config)
    return config


@dataclass(frozen=True)
class Engine:
    """A running SGLang server with the small model, LoRA enabled, on this machine's CPU."""

    url: str
    model_path: Path
    config: EngineConfig


@pytest.fixture(scope="session")
def engine(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Real SGLang; tests share it, so they name their adapters apart."""
    config, port = EngineConfig(device="cpu"), choose_port(None, "")
    log_file = tmp_path_factory.mktemp("engine") / "engine.log"
    arguments, environment = command(config, model_path, port)
    process = Process.start("engine", arguments, log_file, with_tethered_children(environment))
    try:
        _wait_for_engine(process, f"http://{HOST}:{port}/health", ENGINE_START_S, log_file)
        yield Engine(f"http://{HOST}:{port}", model_path, config)
    finally:
        process.stop()


def _wait_for_engine(process: Process, url: str, timeout_s: float, log_file: Path) -> None:
    end_s = time.monotonic() + timeout_s
    while not _answers(url):
        assert process.is_running(), last_line(log_file)
        assert time.monotonic() < end_s, f"SGLang did not start in {timeout_s:g} s: {last_line(log_file)}"
        time.sleep(POLL_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False
