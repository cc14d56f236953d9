"""`running_stack`: a whole stack, from nothing to healthy and back to nothing.

Kafka first, then its topics, then the run is recorded, then the engine and all workers at once: they meet only through
topics, so none waits for another. An external broker or engine takes the place of ours.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.components import engine_component, kafka_component, workers
from infra.handover import hand_over
from infra.home import Home
from infra.kafka.broker import Broker
from infra.ports import HOST, choose_port
from infra.prepare import prepare
from infra.run_file import RunFile, RunState
from infra.settings import Settings, run_configured
from infra.supervisor import Supervisor
from schemas.clock import now_ms
from serving.keys import refuse_open_engine, refuse_open_gateway
from streams.admin import create_topics, verify_topics, wait_for_broker
from streams.config import KafkaConfig
from streams.masking import mask_text
from streams.producer import EventProducer
from streams.topics import RUNS

Report = Callable[[str], None]

EXTERNAL_BROKER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack that is up. `settings` has every address filled in."""

    settings: Settings
    gateway_url: str  # OpenAI clients take this + "/v1"

    @property
    def kafka(self) -> KafkaConfig:
        """How to reach its log."""
        return self.settings.kafka


@asynccontextmanager
async def running_stack(settings: Settings, report: Report) -> AsyncIterator[Stack]:
    """Brings a stack up, and down again at the end of the `async with`, whatever ends it.

    Args:    settings: as loaded; addresses that they leave open are chosen here. report: takes one line per change.
    Raises:  FatalError when a component cannot run, a port is taken, a stack runs already in this home, or strangers
             could use this one.
    """
    refuse_open_doors(settings)
    home = Home(settings.home)
    run_file = RunFile(home)
    with run_file.held():
        prepared = prepare(settings, report)
        resolved = _with_addresses(prepared.settings)
        hand_over(resolved, home.settings_file)
        supervisor = Supervisor(run_file, _run_state(resolved), report)
        try:
            if settings.kafka.bootstrap_servers is None:
                await supervisor.start([kafka_component(_broker(resolved, prepared.jars), home, resolved)])
            await _open_log(resolved)
            engine = [] if settings.engine.url else [engine_component(resolved, home)]
            await supervisor.start([*engine, *workers(resolved, home)])
            supervisor.mark_ready()
            yield Stack(settings=resolved, gateway_url=gateway_url(resolved))
        finally:
            await supervisor.stop()


def refuse_open_doors(settings: Settings) -> None:
    """Raises SettingsError where a listener of this stack, on other than loopback, asks for no key.

    The embedded broker cannot be told to listen elsewhere.
    """
    refuse_open_gateway(settings.gateway.host, tuple(settings.gateway.api_keys))
    if settings.engine.url is None:
        refuse_open_engine(settings.engine.extra_args, settings.engine.api_key)


def gateway_url(settings: Settings) -> str:
    """Where clients of this machine reach the gateway."""
    host = HOST if settings.gateway.host in {"", "0.0.0.0", "::"} else settings.gateway.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.gateway.port}"


def _with_addresses(settings: Settings) -> Settings:
    choose_port(settings.gateway.port, "gateway.port")
    kafka, engine = settings.kafka, settings.engine
    if kafka.bootstrap_servers is None:
        port = choose_port(settings.broker.port, "broker.port")
        kafka = kafka.model_copy(update={"bootstrap_servers": f"{HOST}:{port}"})
    if engine.url is None:
        engine = engine.model_copy(update={"url": f"http://{HOST}:{choose_port(None, 'engine.url')}"})
    return settings.model_copy(update={"kafka": kafka, "engine": engine})


def _broker(settings: Settings, jars: tuple[Path, ...]) -> Broker:
    port = int(str(settings.kafka.bootstrap_servers).rpartition(":")[2])
    home = Home(settings.home)
    return Broker(jars=jars, folder=home.broker, port=port, controller_port=choose_port(None, ""))


def _run_state(settings: Settings) -> RunState:
    return RunState(
        pid=os.getpid(),
        started_ms=now_ms(),
        policy=settings.policy,
        bootstrap_servers=str(settings.kafka.bootstrap_servers),
        topic_prefix=settings.kafka.topic_prefix,
        gateway_url=gateway_url(settings),
        engine_url=mask_text(str(settings.engine.url)),
    )


async def _open_log(settings: Settings) -> None:
    await asyncio.to_thread(_ready_topics, settings.kafka)
    producer = EventProducer(settings.kafka, instance="supervisor")
    try:
        await producer.send(RUNS, run_configured(settings))
    finally:
        await producer.close()


def _ready_topics(kafka: KafkaConfig) -> None:
    wait_for_broker(kafka, EXTERNAL_BROKER_S)
    create_topics(kafka)
    verify_topics(kafka)
