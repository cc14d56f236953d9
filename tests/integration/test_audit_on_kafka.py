"""`nextstate audit` of a real log: clean as real producers and transactions write it, and not after a forgery."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from audited_world import AuditedWorld, good_world, records_of
from confluent_kafka import Producer

from infra.commands.audit import FAILED, show_audit
from infra.settings import Settings
from schemas.events import BatchSealed, SampleBuilt
from streams.client import PRODUCER, open_client
from streams.codec import encode, encode_batch
from streams.config import KafkaConfig
from streams.consumer import GroupConsumer
from streams.producer import EventProducer
from streams.recorded import Recorded
from streams.stamp import read_stamp
from streams.topics import BATCHES, BY_NAME
from streams.transactions import TransactionalProducer
from trainer.publish import publish

pytestmark = pytest.mark.kafka

POLL_S = 10.0
TRANSACTIONAL = "trainer"


def life_of(record: Recorded) -> str:
    stamp = read_stamp(record.headers)
    return stamp.instance if stamp is not None else ""


def write_raw(kafka: KafkaConfig, record: Recorded, value: bytes) -> None:
    """As somebody without our producers would."""
    client = open_client(Producer, kafka, PRODUCER)
    client.produce(kafka.topic(record.topic), key=record.key, value=value, headers=record.headers)
    assert client.flush(POLL_S) == 0


async def write(kafka: KafkaConfig, log: list[Recorded]) -> None:
    """Everything but what is written in transactions, in its order, by a real producer for each life."""
    producers: dict[str, EventProducer] = {}
    samples = {record.event.id: record.event for record in log if isinstance(record.event, SampleBuilt)}
    for record in sorted(log, key=lambda one: one.timestamp_ms):
        life, event = life_of(record), record.event
        if life.startswith(TRANSACTIONAL):
            continue
        if event is None:
            write_raw(kafka, record, record.value)
            continue
        producer = producers.setdefault(life, EventProducer(kafka, life.partition("/")[0]))
        if isinstance(event, BatchSealed):
            encoded = encode_batch(event, [samples[sample_id] for sample_id in event.sample_ids], "processors")
        else:
            encoded = encode(BY_NAME[record.topic], event, life)
        await producer.send_nowait(BY_NAME[record.topic], encoded)
    await asyncio.gather(*(producer.close() for producer in producers.values()))


def train(kafka: KafkaConfig, world: AuditedWorld) -> None:
    """What the trainer says of each batch, in one transaction each."""
    producer = TransactionalProducer(kafka, "trainer-assistant", "trainer-assistant")
    consumer = GroupConsumer(kafka, "trainer-assistant", (BATCHES,), "0")
    producer.init()
    try:
        for record, publication in world.publications:
            polled = consumer.poll(POLL_S)
            assert polled is not None
            assert polled.event == record.event
            publish(producer, consumer, polled, publication)
    finally:
        consumer.close()
        producer.close()


async def test_a_real_log_is_clean_until_a_record_is_contradicted(
    kafka: KafkaConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = await good_world()
    log = records_of(world)
    await write(kafka, log)
    train(kafka, world)
    settings = Settings(home=tmp_path, kafka=kafka)

    assert show_audit(settings, None, as_json=False) == 0
    assert f"{len(log)} records: every check holds." in capsys.readouterr().out

    verdict = next(record for record in log if record.topic == "verdicts")
    assert verdict.event is not None
    write_raw(kafka, verdict, verdict.value.replace(b'"score":1', b'"score":-1'))

    assert show_audit(settings, None, as_json=True) == FAILED
    facts: dict[str, Any] = orjson.loads(capsys.readouterr().out)
    found = [failure for check in facts["checks"] for failure in check["failures"]]
    assert {(failure["check"], failure["topic"], failure["event_id"]) for failure in found} == {
        (check, "verdicts", verdict.event.id) for check in ("digests", "ids")
    }
