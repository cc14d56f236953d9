"""`standing`: what clients are run against: a real Kafka, a real gateway process, and an engine behind it.

Each client has an API key and so a tenant of its own: its part of the log can be told from the others'.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.bench.clients.engine import Engine, running
from infra.bench.live import Live, answers
from infra.components import ENVIRONMENT
from infra.connect.lines import Address
from infra.handover import hand_over
from infra.home import Home
from infra.ports import HOST, choose_port
from infra.process import Process
from infra.secrets import API_KEYS
from infra.settings import Settings
from schemas.events import ActionTaken, NextStateObserved
from serving.config import EngineConfig, GatewayConfig
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.topics import ACTIONS, NEXT_STATES

TEMPERATURE = 0.0  # where the client names none: a model says the same each time; a script does anyway
MAX_TOKENS = 200  # the same; of a small model's answer, which may have no end
ENGINE_PATIENCE_S = 1e-6  # none: an engine that is away is the client's to bear with; a round trip may take < 1 ms
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

    engine: Engine
    url: str
    policy: str
    kafka: KafkaConfig

    def address(self, client: str) -> Address:
        """The gateway, for this client."""
        return Address(self.url, _key(client), self.policy, self.engine.context_length)

    def logged(self, client: str) -> Logged:
        """What has been recorded of it so far."""
        events = [record.event for record in read_all(self.kafka, (ACTIONS, NEXT_STATES)) if record.event is not None]
        own = sorted((event for event in events if event.tenant == client), key=lambda event: (event.time_ms, event.id))
        return Logged(
            tuple(event for event in own if isinstance(event, ActionTaken)),
            tuple(event for event in own if isinstance(event, NextStateObserved)),
        )


@contextmanager
def standing(
    kafka: KafkaConfig, engine: Engine, model_path: Path, folder: Path, clients: Sequence[str]
) -> Iterator[Stage]:
    """The gateway before an engine, up for the length of the `with`.

    Args:    kafka: with topics; model_path: of the engine's model; folder: for the gateway's home.
    Raises:  FatalError: the gateway did not start.
    """
    with running(engine) as engine_url:
        gateway = GatewayConfig(
            port=choose_port(None, ""),
            engine_retry_s=ENGINE_PATIENCE_S,
            default_temperature=TEMPERATURE,
            default_max_tokens=MAX_TOKENS,
        )
        context = engine.context_length
        settings = Settings(
            home=folder,
            kafka=kafka,
            gateway=gateway,
            engine=EngineConfig(url=engine_url, model_path=str(model_path), context_length=context),
        )
        url = f"http://{HOST}:{gateway.port}"
        process = _gateway(settings, clients)
        try:
            live = Live(process, Home(folder).logs / "gateway.log")
            live.wait_for(partial(answers, f"{url}/health"), GATEWAY_START_S, LOOK_S)
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
