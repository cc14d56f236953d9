"""Which spool a recording process writes, who delivers what one has left, and that it records where there is none."""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from example_events import ACTION
from switched_kafka import SwitchedKafka

from schemas.errors import SpoolFullError
from schemas.events import Event
from streams import record_spools, record_writer
from streams.client import RestartNeededError
from streams.config import KafkaConfig
from streams.conversation import ConversationIndex
from streams.record_recall import Missing
from streams.record_spools import Spools, folder_name
from streams.record_writer import Limits, RecordWriter
from streams.spool import Spool
from streams.topics import ACTIONS

BROKER = KafkaConfig(bootstrap_servers="b:1,a:1")


@dataclass(frozen=True)
class Said:
    """An item of one event, that needs nothing."""

    id: str
    time_ms: int = 0
    bulk: Sequence[object] = ()

    def missing(self, index: ConversationIndex) -> Missing | None:
        return None

    def events(self, index: ConversationIndex) -> Sequence[Event]:
        return (replace(ACTION, id=self.id),)


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


async def test_a_client_that_can_go_no_further_keeps_no_spool_that_was_left(tmp_path: Path) -> None:
    await leave(tmp_path, BROKER, "one", "two")
    own_spool = Spool(tmp_path / folder_name(BROKER) / "recorder-0", 100_000)
    with own_spool:
        own_spool.drop(own_spool.pending_bytes)
    kafka = SwitchedKafka()
    kafka.refusal = RestartNeededError("The client is broken.")
    mine = spools(tmp_path, kafka)
    own = await mine.take()
    with pytest.raises(RestartNeededError, match="The client is broken"):
        await asyncio.wait_for(mine.deliver_left(own), 2)
    with Spool(tmp_path / folder_name(BROKER) / "recorder-1", 100_000) as left:
        assert left.pending_bytes, "nobody has it, and nothing of it is lost"
    await own.close()


class Renewable(SwitchedKafka):
    """A Kafka whose client breaks, and works again once it is closed and opened anew."""

    async def close(self, timeout_s: float = 0.0) -> None:
        self.refusal = None


async def test_a_client_that_can_go_no_further_is_opened_anew_and_all_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_writer, "RENEW_S", 0.05)
    kafka = Renewable()
    monkeypatch.setattr(record_writer, "EventProducer", lambda *_: kafka)
    counts: Counter[str] = Counter()
    troubles: list[tuple[str, str]] = []
    told = deque([Said("one")])
    writing = RecordWriter(
        BROKER,
        tmp_path,
        Limits(deadline_s=0.05),
        lambda kind, reason: troubles.append((kind, str(reason))),
        stop=threading.Event(),
    )
    async with writing as writer:
        kafka.refusal = RestartNeededError("The client is broken.")
        await writer.write(told, counts)
        assert counts == {"spool": 1}
        for _ in range(200):
            await asyncio.sleep(0.01)
            if kafka.delivered:
                break
        assert kafka.delivered == ["one"]
        assert troubles == [("undelivered", "The client is broken.")]
        told.append(Said("two"))
        await writer.write(told, counts)
        assert counts == {"spool": 1, "kafka": 1}
