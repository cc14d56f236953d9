"""`running_sides`: all that is measured, as processes of their own: engine, gateway with its Kafka, the reference.

The gateway is the component that `nextstate up` starts, by the same command, on a broker of its own. The reference is
the API server of a checkout of Gen-Verse/OpenClaw-RL (openclaw.py says what of it runs).
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.bench.gateway import engine, openclaw
from infra.bench.gateway.load import Side
from infra.bench.live import served
from infra.bench.processor import child_pids
from infra.components import ENVIRONMENT, worker
from infra.handover import hand_over
from infra.home import Home
from infra.kafka.running import running_broker
from infra.ports import HOST, choose_port
from infra.settings import Settings, private
from schemas.errors import FatalError
from streams.config import KafkaConfig

CONTEXT_TOKENS = 65_536  # an agent's prompt has its 11,000
_SERVER, _SLIME = Path("openclaw-rl/openclaw_api_server.py"), Path("slime/slime/utils/types.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A checkout of the reference, and the Python that runs it."""

    checkout: Path
    python: str = sys.executable

    def check(self) -> None:
        """Raises FatalError: it is no checkout of all of it."""
        for part in (_SERVER, _SLIME):
            if not (self.checkout / part).is_file():
                message = f"--reference: {self.checkout} has no {part}; name a checkout of Gen-Verse/OpenClaw-RL."
                raise FatalError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What runs. `kafka`: the gateway's broker; `record_file`: where the reference writes, one line per turn."""

    engine: Side
    gateway: Side
    reference: Side | None
    kafka: KafkaConfig
    kafka_pids: tuple[int, ...]
    record_file: Path

    def __iter__(self) -> Iterator[Side]:
        """Those that can be asked."""
        yield from (self.engine, self.gateway)
        if self.reference is not None:
            yield self.reference


@contextmanager
def running_sides(
    settings: Settings, reference: Reference | None, *, jars: tuple[Path, ...], folder: Path
) -> Iterator[Sides]:
    """Starts them, and ends them.

    Args:    settings: `engine.model_path` names the policy's model; jars: Kafka's class path; folder: empty.
    Raises:  FatalError: one did not start; its log's last line says why.
    """
    model, record_file = str(settings.engine.model_path), folder / "openclaw" / "record.jsonl"
    with ExitStack() as stack:
        before = child_pids()
        broker = running_broker(jars, folder / "broker", folder / "kafka.log")
        kafka = stack.enter_context(broker)
        kafka_pids = tuple(child_pids() - before)
        bare = stack.enter_context(running_engine(model, folder))
        gateway = stack.enter_context(running_gateway(settings, kafka, bare, folder))
        rival = None if reference is None else stack.enter_context(_reference(reference, model, bare, record_file))
        yield Sides(
            engine=bare, gateway=gateway, reference=rival, kafka=kafka, kafka_pids=kafka_pids, record_file=record_file
        )


@contextmanager
def running_engine(model: str, folder: Path) -> Iterator[Side]:
    """The scripted engine alone; it works for all sides, so it is nobody's cost.

    Raises:  FatalError: it did not start.
    """
    port = choose_port(None, "")
    command = [sys.executable, "-m", engine.__name__, str(port), model]
    with served("engine", command, folder / "engine.log", ENVIRONMENT, f"{_url(port)}/health"):
        yield Side(name="engine", url=_url(port), model=engine.MODEL, headers={}, takes_sessions=False, pids=())


@contextmanager
def running_gateway(settings: Settings, kafka: KafkaConfig, bare: Side, folder: Path) -> Iterator[Side]:
    """The gateway alone, as `nextstate up` starts it.

    Args:    settings: `engine.model_path` names the policy's model; bare: the engine behind it; folder: for its home.
    Raises:  FatalError: it did not start.
    """
    home, port = Home(folder / "home"), choose_port(None, "")
    behind = {"url": bare.url, "context_length": CONTEXT_TOKENS}
    alone = private(settings)
    settings = alone.model_copy(
        update={
            "home": home.root,
            "kafka": kafka,
            "engine": settings.engine.model_copy(update=behind),
            "gateway": alone.gateway.model_copy(update={"port": port}),
        }
    )
    home.root.mkdir(parents=True)
    hand_over(settings, home.settings_file)
    component = worker("gateway", home, settings)
    environment = component.environment
    with served("gateway", component.command, component.log_file, environment, f"{_url(port)}/health") as pid:
        yield Side(name="gateway", url=_url(port), model=settings.policy, headers={}, takes_sessions=False, pids=(pid,))


@contextmanager
def _reference(reference: Reference, model: str, bare: Side, record_file: Path) -> Iterator[Side]:
    port, engine_port = choose_port(None, ""), bare.url.rpartition(":")[2]
    environment = {
        **ENVIRONMENT,
        "HOST": HOST,
        "PORT": str(port),
        "SGLANG_API_KEY": "",
        "SERVED_MODEL_NAME": bare.model,
        "OPENCLAW_RECORD_ENABLED": "1",
        "OPENCLAW_RECORD_FILE": str(record_file),
        "no_proxy": HOST,
    }
    checkout = str(reference.checkout.absolute())
    command = [reference.python, str(Path(openclaw.__file__)), checkout, model, engine_port]
    log_file = record_file.with_name("openclaw.log")
    with served("reference", command, log_file, environment, f"{_url(port)}/healthz") as pid:
        yield Side(name="reference", url=_url(port), model=bare.model, headers={}, takes_sessions=True, pids=(pid,))


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"
