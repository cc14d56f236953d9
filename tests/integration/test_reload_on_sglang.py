"""The reloader as a process would run it: real Kafka, real SGLang, real adapters."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.events import CheckpointPublished, Event, EventRejected, Message, PolicyLoaded, Sampling
from serving.config import EngineConfig, GateConfig, ReloadConfig
from serving.engine import GenerateRequest, SGLangEngine
from serving.reload import run_reloader
from serving.rendering import ChatRenderer
from streams.checkpoints import Manifest, describe_folder, identify_base, write_manifest
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.producer import EventProducer
from streams.topics import CHECKPOINTS, REJECTIONS, RELOADS
from tests.integration.adapters import random_adapter

pytestmark = [pytest.mark.engine, pytest.mark.kafka, pytest.mark.timeout(900)]
POLICY = "reloaded"


@pytest.fixture(scope="module")
def adapter_folder(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter") / "weights"
    random_adapter(model_path, folder, seed=1)
    return folder


@pytest.fixture
def config(engine: Any) -> EngineConfig:
    update = {"model_path": str(engine.model_path), "url": engine.url}
    return EngineConfig.model_validate(engine.config.model_dump() | update)


@pytest.fixture
async def client(config: EngineConfig) -> AsyncIterator[SGLangEngine]:
    client = SGLangEngine(str(config.url), config)
    yield client
    for name in await client.loaded_adapters():
        if name.startswith(POLICY):
            await client.unload_adapter(name)
    await client.close()


@pytest.fixture
async def producer(kafka: KafkaConfig) -> AsyncIterator[EventProducer]:
    producer = EventProducer(kafka, "test")
    yield producer
    await producer.close()


@contextlib.asynccontextmanager
async def reloading(kafka: KafkaConfig, config: EngineConfig, heartbeat: Path) -> AsyncIterator[None]:
    settings = ReloadConfig(keep_versions=2, drain_s=1, retry_s=0.2)
    task = asyncio.create_task(
        run_reloader(settings, GateConfig(enabled=False), kafka, config, policy=POLICY, heartbeat=heartbeat)
    )
    try:
        yield
    finally:
        assert not task.done(), task.exception()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def checkpoint(folder: Path, version: int, base: Path) -> CheckpointPublished:
    files, tensors = describe_folder(folder)
    manifest = Manifest(
        policy=POLICY,
        version=version,
        parent_version=version - 1,
        kind="lora",
        base_model=identify_base(base),
        objective="none",
        time_ms=version,
        batch_ids=(),
        sample_ids=(),
        files=files,
        tensors=tensors,
    )
    return CheckpointPublished(
        id=f"c{version}",
        time_ms=version,
        policy=POLICY,
        version=version,
        parent_version=version - 1,
        url=folder.as_uri(),
        manifest_digest=write_manifest(folder, manifest),
        base_model=manifest.base_model,
        objective="none",
        batch_ids=(),
        sample_ids=(),
        action_ids=(),
        metrics={},
    )


def made(adapter_folder: Path, home: Path, version: int, base: Path) -> CheckpointPublished:
    folder = home / f"version {version}"
    shutil.copytree(adapter_folder, folder)
    return checkpoint(folder, version, base)


async def until(what: Callable[[list[Event]], bool], kafka: KafkaConfig) -> list[Event]:
    """What reloader has said, once it satisfies a condition."""
    end_s = time.monotonic() + 120
    while True:
        records = await asyncio.to_thread(lambda: list(read_all(kafka, [RELOADS, REJECTIONS])))
        events = [record.event for record in records if record.event is not None]
        if what(events):
            return events
        assert time.monotonic() < end_s, events
        await asyncio.sleep(0.3)


def loaded_versions(events: list[Event]) -> list[int]:
    return [event.version for event in events if isinstance(event, PolicyLoaded)]


async def test_versions_reach_the_engine_and_a_bad_one_does_not(
    kafka: KafkaConfig,
    config: EngineConfig,
    client: SGLangEngine,
    producer: EventProducer,
    adapter_folder: Path,
    tmp_path: Path,
) -> None:
    base = Path(str(config.model_path))
    for version in (1, 2, 3):
        await producer.send(CHECKPOINTS, made(adapter_folder, tmp_path, version, base))
    async with reloading(kafka, config, tmp_path / "beat"):
        events = await until(lambda events: len(events) == 2, kafka)
        assert loaded_versions(events) == [3, 2]

        bad = made(adapter_folder, tmp_path, 4, base)
        (tmp_path / "version 4" / "adapter_model.safetensors").write_bytes(b"cut")
        await producer.send(CHECKPOINTS, bad)
        events = await until(lambda events: len(events) == 3, kafka)
        (rejection,) = (event for event in events if isinstance(event, EventRejected))
        assert (rejection.topic, rejection.policy, rejection.stage) == ("checkpoints", POLICY, "reload")

        await producer.send(CHECKPOINTS, made(adapter_folder, tmp_path, 5, base))
        events = await until(lambda events: 5 in loaded_versions(events), kafka)
        newest = events[-1]
        assert isinstance(newest, PolicyLoaded)
        prompt = ChatRenderer(base).render((Message(role="user", content="Hi"),), "[]", "{}")
        request = GenerateRequest(prompt_ids=prompt, sampling=Sampling(max_tokens=3), adapter=newest.adapter)
        assert [chunk async for chunk in client.generate(request)][-1].finish_reason is not None

        async with asyncio.timeout(60):  # version 2 is not wanted any more, and drained
            while {f"{POLICY}@3", f"{POLICY}@5"} != {n for n in await client.loaded_adapters() if POLICY in n}:
                await asyncio.sleep(0.2)
        assert time.time() - (tmp_path / "beat").stat().st_mtime < 10


async def test_an_engine_that_lost_its_adapters_gets_them_back(
    kafka: KafkaConfig,
    config: EngineConfig,
    client: SGLangEngine,
    producer: EventProducer,
    adapter_folder: Path,
    tmp_path: Path,
) -> None:
    await producer.send(CHECKPOINTS, made(adapter_folder, tmp_path, 1, Path(str(config.model_path))))
    async with reloading(kafka, config, tmp_path / "beat"):
        await until(lambda events: len(events) == 1, kafka)
        await client.unload_adapter(f"{POLICY}@1")
        async with asyncio.timeout(60):
            while f"{POLICY}@1" not in await client.loaded_adapters():
                await asyncio.sleep(0.2)
    async with reloading(kafka, config, tmp_path / "beat"):  # a reloader that restarts repeats nothing
        await asyncio.sleep(3)
    assert loaded_versions(await until(bool, kafka)) == [1]
