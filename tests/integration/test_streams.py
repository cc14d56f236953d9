"""The log on a real broker: what is sent is where it should be, what is read ends where it should, exactly once."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from example_events import ACTION, BATCH, EXAMPLES, SAMPLE

from schemas.errors import FatalError, MalformedEventError, RejectedError, UnknownEventError
from schemas.events import ActionTrained, BatchSealed, Event
from streams.admin import create_topics, partitions_of, verify_topics
from streams.client import PRODUCER, RestartNeededError, open_client
from streams.codec import HEADER_ROOM_BYTES, decode_batch, encode, encode_batch
from streams.config import KafkaConfig
from streams.consumer import GroupConsumer, Recorded, follow, read_all
from streams.placement import partition_of
from streams.producer import EventProducer
from streams.recorder import Recorder
from streams.spool import Spool
from streams.stamp import content_digest, read_stamp
from streams.topics import ACTIONS, BATCHES, MAX_RECORD_BYTES, OUTCOMES, TOPICS, TRAINED
from streams.transactions import TransactionalProducer

pytestmark = pytest.mark.kafka

POLL_S = 10.0


def action(number: int, conversation: str = "c-1") -> Event:
    return replace(ACTION, id=f"a-{number}", conversation_id=conversation)


def trained(number: int) -> ActionTrained:
    return ActionTrained(
        id=f"y-{number}", time_ms=1, policy="assistant", action_id=f"a-{number}", sample_id="s", version=1
    )


def ids(records: Iterator[Recorded]) -> list[str]:
    return [record.event.id for record in records if record.event is not None]


@asynccontextmanager
async def producing(config: KafkaConfig) -> AsyncIterator[EventProducer]:
    producer = EventProducer(config, "test")
    try:
        yield producer
    finally:
        await producer.close()


@contextmanager
def consuming(config: KafkaConfig, instance: str = "0") -> Iterator[GroupConsumer]:
    consumer = GroupConsumer(config, "workers", [ACTIONS], instance)
    try:
        yield consumer
    finally:
        consumer.close()


def next_of(consumer: GroupConsumer) -> Recorded:
    record = consumer.poll(POLL_S)
    assert record is not None
    return record


def transactional(config: KafkaConfig) -> TransactionalProducer:
    producer = TransactionalProducer(config, "trainer", "test")
    producer.init()
    return producer


def produce_raw(
    config: KafkaConfig, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]], partition: int = -1
) -> None:
    """As a producer in another language would, without our codec."""
    client = open_client(Producer, config, PRODUCER)
    client.produce(config.topic("actions"), key=key, value=value, headers=headers, partition=partition)
    assert client.flush(POLL_S) == 0


async def test_every_event_is_read_back_from_its_topic(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        for event in EXAMPLES:
            topic = next(topic for topic in TOPICS if type(event) in topic.types)
            if isinstance(event, BatchSealed):
                await producer.send_nowait(topic, encode_batch(event, [SAMPLE], "test"))
            else:
                await producer.send(topic, event)
    records = list(read_all(kafka, TOPICS))
    assert [record.error for record in records if record.error] == []
    assert {record.event for record in records if record.event is BATCH} == set()
    by_id = {record.event.id: record.event for record in records if record.event is not None}
    assert by_id == {event.id: event for event in EXAMPLES}


async def test_records_lie_where_key_and_murmur2_say(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        for number in range(20):
            placed = await producer.send(ACTIONS, action(number, f"c-{number}"))
            assert (placed.topic, placed.partition) == ("actions", partition_of(f"c-{number}".encode(), 4))
    assert {record.partition for record in read_all(kafka, [ACTIONS])} == {0, 1, 2, 3}


async def test_one_conversation_keeps_its_order_and_its_offsets(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        sent = [producer.send_nowait(ACTIONS, encode(ACTIONS, action(number), "test")) for number in range(500)]
        placed = await asyncio.gather(*sent)
    assert [place.offset for place in placed] == list(range(500))
    assert ids(read_all(kafka, [ACTIONS])) == [f"a-{number}" for number in range(500)]


async def test_stamps_have_no_gap_and_their_digests_are_true(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        for number in range(5):
            await producer.send(ACTIONS, action(number))
    for number, record in enumerate(read_all(kafka, [ACTIONS])):
        stamp = read_stamp(record.headers)
        assert stamp is not None
        assert stamp.seq == number
        assert stamp.digest == content_digest(record.headers, record.key or b"", record.value)


async def test_a_record_of_the_largest_size_gets_through_and_one_byte_more_is_a_rejection(kafka: KafkaConfig) -> None:
    record = encode(ACTIONS, ACTION, "test")
    noise = os.urandom(MAX_RECORD_BYTES - HEADER_ROOM_BYTES)  # zstd cannot shrink it
    async with producing(kafka) as producer:
        await producer.send_nowait(ACTIONS, replace(record, value=noise))
        with pytest.raises(RejectedError):
            await producer.send(ACTIONS, replace(ACTION, model="x" * (MAX_RECORD_BYTES - HEADER_ROOM_BYTES)))
    assert [len(record.value) for record in read_all(kafka, [ACTIONS])] == [len(noise)]


async def test_a_missing_topic_stops_the_sender_with_the_fix(kafka: KafkaConfig) -> None:
    elsewhere = kafka.model_copy(update={"topic_prefix": "nowhere."})
    async with producing(elsewhere) as producer:
        with pytest.raises(FatalError, match="no such topic"):
            await producer.send(ACTIONS, ACTION)
    with pytest.raises(FatalError, match="no topic 'nowhere"):
        read_all(elsewhere, [ACTIONS])


async def test_a_batch_is_read_from_the_bytes_that_kafka_delivered(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        await producer.send_nowait(BATCHES, encode_batch(BATCH, [SAMPLE], "test"))
    (record,) = read_all(kafka, [BATCHES])
    event, table = decode_batch(record.value)
    assert event == record.event == BATCH
    assert table["response_ids"].to_pylist() == [[1, 2, 3]]


async def test_reading_all_stops_at_what_was_there_when_it_was_asked(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        for number in range(3):
            await producer.send(ACTIONS, action(number))
        records = read_all(kafka, [ACTIONS])
        for number in range(3, 6):
            await producer.send(ACTIONS, action(number))
    assert ids(records) == ["a-0", "a-1", "a-2"]
    assert len(list(read_all(kafka, [ACTIONS]))) == 6


def test_reading_an_empty_log_ends_at_once(kafka: KafkaConfig) -> None:
    assert list(read_all(kafka, TOPICS)) == []


async def test_reading_since_a_time_leaves_out_what_is_older(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        await producer.send(ACTIONS, action(1))
        await asyncio.sleep(0.05)
        now_ms = time.time_ns() // 1_000_000
        await producer.send(ACTIONS, action(2))
    assert ids(read_all(kafka, [ACTIONS], since_ms=now_ms)) == ["a-2"]
    assert ids(read_all(kafka, [ACTIONS], since_ms=now_ms + 3_600_000)) == []


def test_a_record_that_does_not_decode_is_an_error_in_its_place_and_the_stream_goes_on(kafka: KafkaConfig) -> None:
    good = encode(ACTIONS, ACTION, "elsewhere")
    partition = partition_of(good.key, 4)
    unknown = [(name, b"nextstate.action.taken.v9" if name == "ce_type" else raw) for name, raw in good.headers]
    produce_raw(kafka, good.key, b"{", good.headers)
    produce_raw(kafka, good.key, good.value, unknown)
    produce_raw(kafka, b"c-9", good.value, good.headers, partition)
    produce_raw(kafka, good.key, good.value, good.headers)
    records = list(read_all(kafka, [ACTIONS]))
    assert [(record.offset, type(record.error)) for record in records] == [
        (0, MalformedEventError),
        (1, UnknownEventError),
        (2, MalformedEventError),
        (3, type(None)),
    ]
    assert records[3].event == ACTION


def test_a_record_in_the_wrong_partition_is_an_error(kafka: KafkaConfig) -> None:
    good = encode(ACTIONS, ACTION, "elsewhere")
    produce_raw(kafka, good.key, good.value, good.headers, (partition_of(good.key, 4) + 1) % 4)
    (record,) = read_all(kafka, [ACTIONS])
    assert "murmur2_random" in str(record.error)


async def test_following_begins_at_the_present_and_goes_on(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        await producer.send(ACTIONS, action(1))
        seen: list[str] = []

        async def watch() -> None:
            async for record in follow(kafka, [ACTIONS]):
                assert record.event is not None
                seen.append(record.event.id)

        watcher = asyncio.create_task(watch())
        number = 2
        while not seen:  # the present is when the watcher has begun
            await producer.send(ACTIONS, action(number))
            number += 1
        await producer.send(ACTIONS, action(number))
        await until(lambda: seen[-1] == f"a-{number}")
        watcher.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watcher
    assert "a-1" not in seen


async def test_following_from_the_beginning_yields_what_is_there(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        for number in range(3):
            await producer.send(ACTIONS, action(number))
    seen = []
    async for record in follow(kafka, [ACTIONS], from_beginning=True):
        seen.append(record.offset)
        if len(seen) == 3:
            break
    assert seen == [0, 1, 2]


async def test_a_group_resumes_behind_what_it_has_committed(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        for number in range(3):
            await producer.send(ACTIONS, action(number))
    with consuming(kafka) as consumer:
        first = next_of(consumer)
        consumer.commit(first)
        assert next_of(consumer).offset == 1  # read, not committed
    with consuming(kafka) as consumer:
        assert next_of(consumer).offset == 1


async def test_a_transaction_commits_its_events_and_its_offset_as_one(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        for number in range(2):
            await producer.send(ACTIONS, action(number))
    trainer = transactional(kafka)
    with consuming(kafka) as consumer:
        with trainer.transaction(consumer, next_of(consumer)):
            trainer.send(TRAINED, trained(0))
            trainer.send(TRAINED, trained(1))
            assert list(read_all(kafka, [TRAINED])) == []  # nothing is seen before the end
        transactional(kafka)  # as a restarted process does: waits until Kafka has marked all partitions
        assert sorted(ids(read_all(kafka, [TRAINED]))) == ["y-0", "y-1"]
    with consuming(kafka) as consumer:
        assert next_of(consumer).offset == 1


async def test_an_aborted_transaction_leaves_nothing_and_the_record_is_read_again(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        await producer.send(ACTIONS, action(0))
    trainer = transactional(kafka)
    with consuming(kafka) as consumer:
        record = next_of(consumer)
        with suppress(ZeroDivisionError), trainer.transaction(consumer, record):
            trainer.send(TRAINED, trained(0))
            raise ZeroDivisionError
        assert list(read_all(kafka, [TRAINED])) == []
        again = next_of(consumer)
        assert (again.partition, again.offset) == (record.partition, record.offset)
        with trainer.transaction(consumer, again):
            trainer.send(TRAINED, trained(0))
    (only,) = read_all(kafka, [TRAINED])
    stamp = read_stamp(only.headers)
    assert stamp is not None
    assert stamp.seq == 0  # the aborted record's number, used again: an audit sees no gap


async def test_a_second_process_with_the_same_name_fences_the_first_out(kafka: KafkaConfig) -> None:
    async with producing(kafka) as producer:
        await producer.send(ACTIONS, action(0))
    first = transactional(kafka)
    with consuming(kafka) as consumer:
        record = next_of(consumer)
        transactional(kafka)
        with pytest.raises(RestartNeededError, match="a newer process"), first.transaction(consumer, record):
            first.send(TRAINED, trained(0))
    assert list(read_all(kafka, [TRAINED])) == []


async def test_a_member_with_a_new_id_in_its_group_needs_a_new_start_and_no_hand(kafka: KafkaConfig) -> None:
    """As after an outage of the group's broker: the member has joined again, and what it had read is of its old id."""
    async with producing(kafka) as producer:
        await producer.send(ACTIONS, action(0))
    trainer = transactional(kafka)
    with consuming(kafka) as consumer:
        record = next_of(consumer)
        with consuming(kafka) as again:
            next_of(again)
            with pytest.raises(RestartNeededError, match="after an outage"), trainer.transaction(consumer, record):
                trainer.send(TRAINED, trained(0))
        assert list(read_all(kafka, [TRAINED])) == []


async def test_a_transaction_that_kafka_has_ended_needs_a_new_start_and_no_hand(
    kafka: KafkaConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an outage that lasts longer than it may."""
    monkeypatch.setattr("streams.transactions._TRANSACTION_TIMEOUT_MS", 1000)
    async with producing(kafka) as producer:
        await producer.send(ACTIONS, action(0))
    trainer = transactional(kafka)
    with consuming(kafka) as consumer:
        record = next_of(consumer)
        with pytest.raises(RestartNeededError, match="after an outage"), trainer.transaction(consumer, record):  # noqa: PT012
            trainer.send(TRAINED, trained(0))
            await asyncio.sleep(15)  # Kafka looks every ten seconds
        assert list(read_all(kafka, [TRAINED])) == []
        with transactional(kafka).transaction():
            pass


def test_topics_that_are_as_declared_pass_and_creating_them_again_changes_nothing(kafka: KafkaConfig) -> None:
    create_topics(kafka)
    verify_topics(kafka)


def test_a_missing_topic_is_named(kafka: KafkaConfig) -> None:
    with pytest.raises(FatalError, match=r"no topic 'nowhere\.actions'"):
        verify_topics(kafka.model_copy(update={"topic_prefix": "nowhere."}))


@pytest.mark.parametrize(
    ("partitions", "settings", "named"),
    [
        (3, {"max.message.bytes": str(MAX_RECORD_BYTES)}, "has 3 partitions, 4 are needed"),
        (4, {"max.message.bytes": "1000000"}, "max.message.bytes=1000000"),
        (4, {"max.message.bytes": str(MAX_RECORD_BYTES), "cleanup.policy": "compact"}, "cleanup.policy=compact"),
    ],
)
def test_a_topic_that_differs_is_named_with_what_it_should_be(
    kafka: KafkaConfig, partitions: int, settings: dict[str, str], named: str
) -> None:
    other = kafka.model_copy(update={"topic_prefix": f"{kafka.topic_prefix}other."})
    admin = open_client(AdminClient, other)
    topic = NewTopic(other.topic(OUTCOMES.name), num_partitions=partitions, replication_factor=1, config=settings)
    for created in admin.create_topics([topic]).values():
        created.result()
    create_topics(other)
    with pytest.raises(FatalError, match=named):
        verify_topics(other)


def test_with_three_copies_topics_that_one_broker_may_lose_are_refused(kafka: KafkaConfig) -> None:
    with pytest.raises(FatalError, match=r"has min\.insync\.replicas=1; set it to 2"):
        verify_topics(kafka.model_copy(update={"replication_factor": 3}))


def test_each_partition_says_who_leads_it_and_who_has_it(kafka: KafkaConfig) -> None:
    name = kafka.topic(OUTCOMES.name)
    found = [one for one in partitions_of(kafka) if one.topic == name]
    assert [one.number for one in found] == list(range(OUTCOMES.partitions))
    assert {(one.leader, one.replicas, one.in_sync) for one in found} == {(1, frozenset({1}), frozenset({1}))}


async def test_nothing_acknowledged_is_lost_while_the_broker_cannot_be_reached(
    kafka: KafkaConfig, tmp_path: Path
) -> None:
    assert kafka.bootstrap_servers is not None
    host, _, port = kafka.bootstrap_servers.rpartition(":")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    unreachable = kafka.model_copy(update={"bootstrap_servers": f"{address[0]}:{address[1]}"})
    unreachable = unreachable.model_copy(update={"client": {"reconnect.backoff.max.ms": "200"}})
    async with (
        producing(unreachable) as producer,
        Recorder(producer, Spool(tmp_path / "spool", 1_000_000), deadline_s=0.2) as recorder,
    ):
        places = [await recorder.record(ACTIONS, action(number)) for number in range(20)]
        assert places == ["spool"] * 20
        async with forwarding(address, (host, int(port))):
            await until(lambda: recorder.healthy)
        assert recorder.spooled_bytes == 0
    arrived = ids(read_all(kafka, [ACTIONS]))
    assert list(dict.fromkeys(arrived)) == [f"a-{number}" for number in range(20)]
    assert arrived.count("a-0") == 2  # whose deadline was missed: in flight and in the spool, under one id
    assert len(arrived) == 21


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the condition did not come true within 20 s")


@asynccontextmanager
async def forwarding(address: tuple[str, int], target: tuple[str, int]) -> AsyncIterator[None]:
    """Make the real broker answer at an address where nobody was."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*target)
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, *address)
    try:
        yield
    finally:
        server.close()
