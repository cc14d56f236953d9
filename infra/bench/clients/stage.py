"""`standing`: what clients are run against: a real Kafka, a real gateway process, and the scripted engine behind it.

Each client has an API key and so a tenant of its own: its part of the log can be told from the others'.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.bench.clients.engine import ScriptedEngine, running
from infra.components import ENVIRONMENT
from infra.connect.lines import Address
from infra.handover import hand_over
from infra.health import ANSWER_S
from infra.home import Home
from infra.ports import HOST, choose_port
from infra.process import Process, last_line
from infra.secrets import API_KEYS
from infra.settings import Settings
from schemas.errors import MissingRuntimeError
from schemas.events import ActionTaken, NextStateObserved
from serving.config import EngineConfig, GatewayConfig
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import ACTIONS, NEXT_STATES

CONTEXT_LENGTH = 65_536  # the script does not mind; an agent's system prompt alone can have 10,000 tokens
ENGINE_PATIENCE_S = 0.001  # an engine that is away is the client's to bear with, here
GATEWAY_START_S = 120.0
LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log has of one client, in the order of time."""

    actions: tuple[ActionTaken, ...]
    next_states: tuple[NextStateObserved, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a client's run needs."""

    engine: ScriptedEngine
    url: str
    policy: str
    kafka: KafkaConfig

    def address(self, client: str) -> Address:
        """The gateway, for this client."""
        return Address(self.url, _key(client), self.policy, CONTEXT_LENGTH)

    def logged(self, client: str) -> Logged:
        """What has been recorded of it so far."""
        events = [record.event for record in read_all(self.kafka, (ACTIONS, NEXT_STATES)) if record.event is not None]
        own = sorted((event for event in events if event.tenant == client), key=lambda event: (event.time_ms, event.id))
        return Logged(
            tuple(event for event in own if isinstance(event, ActionTaken)),
            tuple(event for event in own if isinstance(event, NextStateObserved)),
        )


@contextmanager
def standing(kafka: KafkaConfig, model_path: Path, folder: Path, clients: Sequence[str]) -> Iterator[Stage]:
    """Engine and gateway, up for the length of the `with`.

    Args:    kafka: with topics; folder: for the gateway's home.
    Raises:  MissingRuntimeError: the gateway did not start.
    """
    engine = ScriptedEngine.of(model_path)
    with running(engine) as engine_url:
        settings = Settings(
            home=folder,
            kafka=kafka,
            gateway=GatewayConfig(port=choose_port(None, ""), engine_retry_s=ENGINE_PATIENCE_S),
            engine=EngineConfig(url=engine_url, model_path=str(model_path), context_length=CONTEXT_LENGTH),
        )
        url = f"http://{HOST}:{settings.gateway.port}"
        process = _gateway(settings, clients)
        try:
            _wait_for(process, url, Home(folder).logs / "gateway.log")
            yield Stage(engine, url, settings.policy, kafka)
        finally:
            process.stop()


def _key(client: str) -> str:
    return f"key-of-{client}"


def _gateway(settings: Settings, clients: Sequence[str]) -> Process:
    home = Home(settings.home)
    home.root.mkdir(parents=True, exist_ok=True)
    hand_over(settings, home.settings_file)
    names = [str(home.settings_file), str(home.heartbeats / "gateway")]
    keys = {API_KEYS.variable: ",".join(f"{client}:{_key(client)}" for client in clients)}
    command = [sys.executable, "-m", "infra.component", "gateway", *names]
    return Process.start("gateway", command, home.logs / "gateway.log", {**ENVIRONMENT, **keys})


def _wait_for(process: Process, url: str, log_file: Path) -> None:
    end_s = time.monotonic() + GATEWAY_START_S
    while not _answers(f"{url}/health"):
        if not process.is_running() or time.monotonic() > end_s:
            raise MissingRuntimeError(f"The gateway did not start: {last_line(log_file)}")
        time.sleep(LOOK_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=ANSWER_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False
