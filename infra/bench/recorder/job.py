"""`bench_recorder`: what it costs an agent to tell of its turns (telling.py), and us to hear of them (hearing.py).

Starts what both need: a real Kafka and a real gateway, a bare receiver, the collector where one is named, and a Python
that has OpenTelemetry's SDK and nothing of ours, in a folder of its own. Where that cannot be installed, its columns
are left out, and a note says why.
"""

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.bench.gateway.sides import running_engine, running_gateway
from infra.bench.processor import child_pids
from infra.bench.recorder.hearing import HearingPlan, HearingTable, bench_hearing
from infra.bench.recorder.receivers import VERBOSITIES, Receiver, bare_receiver, collector, gateway_receiver
from infra.bench.recorder.telling import (
    AWAY,
    NOTHING,
    RECORDER,
    SPANS,
    Telling,
    TellingPlan,
    TellingTable,
    prove,
)
from infra.bench.recorder.ways import Way, Ways
from infra.connect.install import python_with
from infra.kafka.running import running_broker
from infra.ports import HOST, choose_port
from infra.settings import Settings
from infra.stack import Report
from schemas.errors import MissingRuntimeError
from streams.config import KafkaConfig

SDK = ("opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-http==1.45.2")
WITHOUT_COLLECTOR = (
    "Without the OpenTelemetry Collector. For its rows: --collector PATH of an otelcol that has the OTLP receiver and "
    "the debug exporter, as every distribution of it does."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured."""

    parts: tuple[str, ...] = ("telling", "hearing")
    telling: TellingPlan = TellingPlan()  # noqa: RUF009 - frozen
    hearing: HearingPlan = HearingPlan()  # noqa: RUF009 - frozen
    collector: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderTable:
    """What was measured; None: that part was not."""

    num_cores: int
    telling: TellingTable | None
    hearing: HearingTable | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the benchmark stands on. `clients`: where the SDK is installed, and stays; `folder`: empty."""

    jars: tuple[Path, ...]
    clients: Path
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """What runs for both parts."""

    kafka: KafkaConfig
    kafka_pids: tuple[int, ...]
    bare: Receiver
    place: Place
    report: Report


def bench_recorder(settings: Settings, plan: Plan, place: Place, report: Report) -> RecorderTable:
    """Runs the parts.

    Args:    settings: `engine.model_path` names the policy's model; report: told about progress.
    Raises:  FatalError: a process did not start, or what it was told is not where it should be.
    """
    notes: list[str] = []
    report("Starting Kafka and the receivers")
    with ExitStack() as stack:
        before = child_pids()
        broker = running_broker(place.jars, place.folder / "broker", place.folder / "kafka.log")
        kafka = stack.enter_context(broker)
        stage = _Stage(
            kafka=kafka,
            kafka_pids=tuple(child_pids() - before),
            bare=stack.enter_context(bare_receiver(place.folder)),
            place=place,
            report=report,
        )
        told = _tell(stage, plan.telling, notes) if "telling" in plan.parts else None
        heard = _hear(stage, settings, plan, notes) if "hearing" in plan.parts else None
    return RecorderTable(num_cores=psutil.cpu_count() or 0, telling=told, hearing=heard, notes=tuple(notes))


def _tell(stage: _Stage, plan: TellingPlan, notes: list[str]) -> TellingTable:
    spans = None
    try:
        python = python_with("OpenTelemetry's SDK", SDK, stage.place.clients / "opentelemetry-sdk")
    except MissingRuntimeError as error:
        notes.append(f"Without OpenTelemetry's SDK: {error}")
    else:
        spans = Way(name=SPANS, side="opentelemetry", python=str(python), address=stage.bare.url)
    nowhere = f"{HOST}:{choose_port(None, '')}"
    ways = Ways(stage.place.folder / "programs")
    recorder = Way(name=RECORDER, side="recorder", python=sys.executable, address=str(stage.kafka.bootstrap_servers))
    table = Telling(
        ways=ways,
        nothing=Way(name=NOTHING, side="nothing", python=sys.executable),
        recorder=recorder,
        away=Way(name=AWAY, side="recorder", python=sys.executable, address=nowhere),
        spans=spans,
        receiver=stage.bare.url,
        report=stage.report,
    ).measure(plan)
    prove(stage.kafka, ways, recorder)
    return table


def _hear(stage: _Stage, settings: Settings, plan: Plan, notes: list[str]) -> HearingTable:
    folder = stage.place.folder
    with ExitStack() as stack:
        engine = stack.enter_context(running_engine(str(settings.engine.model_path), folder))
        gateway = stack.enter_context(running_gateway(settings, stage.kafka, engine, folder))
        receivers = [gateway_receiver(gateway, stage.kafka, stage.kafka_pids), stage.bare]
        if plan.collector is None:
            notes.append(WITHOUT_COLLECTOR)
        else:
            receivers += [stack.enter_context(collector(plan.collector, kind, folder)) for kind in VERBOSITIES]
        return bench_hearing(receivers, plan.hearing, stage.report)
