"""The components of a stack: which command each one is, where its log lies, and how its health is told."""

import sys
from pathlib import Path

from infra.handover import secrets_of
from infra.health import heartbeat_is_fresh, kafka_answers, sglang_draws
from infra.home import Home
from infra.kafka.broker import Broker
from infra.keeper import Component
from infra.process import with_tethered_children
from infra.settings import Settings
from serving.launch.command import command

ENGINE_SILENCE_S = 120.0  # on a busy CPU a long prompt can hold up its answers that long
WORKERS = ("gateway", "processors", "trainer", "reloader")
ARCHIVER = "archiver"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # several processes share the cores; torch's own threads would fight over them
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",  # models are folders on this machine; nothing is fetched at run time
    "PYTHONUNBUFFERED": "1",  # a log shows what happened, also after a kill
}
# Merging files takes tens of MiB for a moment, in threads of Arrow and DuckDB; so do a judge's batch and a backlog of
# records, in those of torch and Kafka. Left to themselves the allocators keep that, in pieces; so they give it back. It
# costs the archiver a tenth of its processor time, the processors nothing that a replay could tell.
_GIVE_MEMORY_BACK = {"processors", ARCHIVER}
_ALLOCATORS = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


def kafka_component(broker: Broker, home: Home, settings: Settings) -> Component:
    """The embedded broker, prepared to start."""
    broker.prepare()
    return Component(
        name="kafka",
        command=tuple(broker.command()),
        log_file=home.logs / "kafka.log",
        check=kafka_answers(settings.kafka),
        environment=secrets_of("kafka", settings),
    )


def engine_component(settings: Settings, home: Home) -> Component:
    """Our own SGLang server, at the url that the settings hold by now."""
    config = settings.engine
    port = int(str(config.url).rpartition(":")[2])
    arguments, environment = command(config, Path(str(config.model_path)), port)
    return Component(
        name="engine",
        command=tuple(arguments),
        log_file=home.logs / "engine.log",
        check=sglang_draws(str(config.url)),
        environment=with_tethered_children(ENVIRONMENT | secrets_of("engine", settings) | environment),
        start_deadline_s=config.boot_timeout_s,
        silence_deadline_s=ENGINE_SILENCE_S,
    )


def workers(settings: Settings, home: Home) -> list[Component]:
    """The processes that are ours, on the settings that were handed over to them."""
    names = (*WORKERS, ARCHIVER) if settings.archive.enabled else WORKERS
    return [worker(name, home, settings) for name in names]


def worker(name: str, home: Home, settings: Settings) -> Component:
    """One of them."""
    heartbeat = home.heartbeats / name
    return Component(
        name=name,
        command=(sys.executable, "-m", "infra.component", name, str(home.settings_file), str(heartbeat)),
        log_file=home.logs / f"{name}.log",
        check=heartbeat_is_fresh(heartbeat),
        environment=ENVIRONMENT | (_ALLOCATORS if name in _GIVE_MEMORY_BACK else {}) | secrets_of(name, settings),
        heartbeat=heartbeat,
    )
