"""Which spool a recording process writes, who delivers what one has left, and that it records where there is none."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from example_events import ACTION
from switched_kafka import SwitchedKafka

from schemas.errors import SpoolFullError
from streams import record_spools
from streams.config import KafkaConfig
from streams.record_spools import Spools
from streams.topics import ACTIONS

BROKER = KafkaConfig(bootstrap_servers="b:1,a:1")


def spools(folder: Path, kafka: SwitchedKafka, config: KafkaConfig = BROKER) -> Spools:
    return Spools(folder, config, kafka, max_bytes=100_000, deadline_s=0.05)


@pytest.mark.parametrize("why", ["it cannot be written", "all are taken"])
async def test_without_a_spool_events_go_to_kafka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    (tmp_path / "file").touch()
    if why == "all are taken":
        monkeypatch.setattr(record_spools, "MAX_SPOOLS", 0)
    kafka = SwitchedKafka()
    own = await spools(tmp_path / "file" if why == "it cannot be written" else tmp_path, kafka).take()
    assert await own.record(ACTIONS, ACTION) == "kafka"
    kafka.up = False
    with pytest.raises(SpoolFullError, match="no spool"):
        await own.record(ACTIONS, ACTION)
    await own.close()


async def leave(folder: Path, config: KafkaConfig, *ids: str) -> None:
    """Processes that live at one time record one event each while Kafka is away, and end."""
    away = SwitchedKafka()
    away.up = False
    processes = [await spools(folder, away, config).take() for _ in ids]
    for process, event_id in zip(processes, ids, strict=True):
        await process.record(ACTIONS, replace(ACTION, id=event_id))
    for process in processes:
        await process.close()


async def test_a_process_delivers_what_all_that_are_gone_have_left_and_leaves_alone_who_lives(tmp_path: Path) -> None:
    kafka, away = SwitchedKafka(), SwitchedKafka()
    away.up = False
    living = await spools(tmp_path, away).take()
    await living.record(ACTIONS, replace(ACTION, id="living"))
    await leave(tmp_path, BROKER, "one", "two", "three")
    mine = spools(tmp_path, kafka)
    own = await mine.take()
    left = asyncio.create_task(mine.deliver_left(own))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if len(kafka.delivered) == 3:
            break
    assert sorted(kafka.delivered) == ["one", "three", "two"]
    assert living.spooled_bytes
    left.cancel()
    for process in (own, living):
        await process.close()


@pytest.mark.parametrize(
    "other",
    [KafkaConfig(bootstrap_servers="staging:9092"), KafkaConfig(bootstrap_servers="b:1,a:1", topic_prefix="x.")],
)
async def test_what_is_meant_for_another_cluster_or_prefix_is_never_delivered(
    tmp_path: Path, other: KafkaConfig
) -> None:
    await leave(tmp_path, BROKER, "secret")
    own = await spools(tmp_path, SwitchedKafka(), other).take()
    assert not own.spooled_bytes
    await own.close()
    again = await spools(tmp_path, SwitchedKafka(), KafkaConfig(bootstrap_servers="a:1,b:1")).take()
    assert again.spooled_bytes, "the order of the brokers is no difference"
    await again.close()
