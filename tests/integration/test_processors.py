"""The processors as a real process on a real broker: killed, fed nonsense, stopped."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy
from confluent_kafka import Producer
from processor_world import BAD, GOOD, HINTED, UNRELATED, UNSURE, action, next_state, thumb

from infra.audit import audit
from infra.kafka.broker import Broker
from infra.kafka.jars import fetch_jars
from infra.ports import choose_port
from infra.process import Process
from schemas.clock import now_ms
from streams.admin import create_topics, wait_for_broker
from streams.client import PRODUCER, open_client
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.producer import EventProducer
from streams.topics import (
    ACTIONS,
    BATCHES,
    FEEDBACK,
    HINTS,
    NEXT_STATES,
    REJECTIONS,
    SAMPLES,
    SKIPS,
    TOPICS,
    TRANSITIONS,
    VERDICTS,
)

pytestmark = pytest.mark.kafka

DERIVED = (TRANSITIONS, VERDICTS, HINTS, SKIPS, SAMPLES, BATCHES, REJECTIONS)
REPLIES = (GOOD, BAD, UNRELATED, UNSURE, HINTED)  # three of five make a sample
TESTS = Path(__file__).parent.parent
DEADLINE_S = 120.0
AN_HOUR_MS = 3_600_000  # nothing is on its way any more


class Processors:
    """The processors, as an operating system sees them."""

    def __init__(self, kafka: KafkaConfig, home: Path, config: dict[str, object]):
        self.heartbeat = home / "heartbeat"
        self.heartbeat.unlink(missing_ok=True)
        command = [sys.executable, str(TESTS / "processor_process.py")]
        command += [kafka.model_dump_json(), str(home), json.dumps(config)]
        with (home / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def wait_until_running(self):
        until(self.heartbeat.exists, "the processors beat")

    def kill(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def processors(kafka, home, config):
    started = Processors(kafka, home, config)
    try:
        yield started
    finally:
        started.kill()


def until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.2)


def recorded(kafka, *topics):
    """Events per topic, in order; equal ids must have equal contents."""
    found = {topic.name: [] for topic in topics}
    for record in read_all(kafka, topics):
        assert record.error is None
        found[record.topic].append(record.event)
    for events in found.values():
        contents = {}
        assert all(contents.setdefault(event.id, event) == event for event in events)
    return found


def num_ids(kafka, topic):
    return len({event.id for event in recorded(kafka, topic)[topic.name]})


def num_in_batches(kafka):
    return len({sample_id for batch in recorded(kafka, BATCHES)["batches"] for sample_id in batch.sample_ids})


def send(kafka, *events):
    """Record (topic, event) pairs, in order."""

    async def send_all():
        producer = EventProducer(kafka, "test")
        await asyncio.gather(*(producer.send(topic, event) for topic, event in events))
        await producer.close()

    asyncio.run(send_all())


def feed(kafka, numbers):
    """Turns of 7 conversations; every other next state comes before its action, and thanks come with a thumb down."""
    events = []
    for number in numbers:
        name, conversation = f"a-{number}", f"c-{number % 7}"
        pair = [
            (ACTIONS, action(name, conversation=conversation)),
            (NEXT_STATES, next_state(name, REPLIES[number % 5], conversation_id=conversation)),
        ]
        events += pair[:: 1 if number % 2 else -1]
        if REPLIES[number % 5] == GOOD:
            events.append((FEEDBACK, thumb(name, -1, conversation_id=conversation)))
    send(kafka, *events)


def assert_each_turn_was_done_once(kafka, num_turns):
    """Of turns as `feed` makes them, and what is packed in eights."""
    found = recorded(kafka, *DERIVED)
    expected = {f"a-{number}": REPLIES[number % 5] for number in range(num_turns)}
    samples = {event.id: event for event in found["samples"]}
    assert sorted(sample.action_id for sample in samples.values()) == sorted(
        name for name, reply in expected.items() if reply in {GOOD, BAD, HINTED}
    )
    thumbed = [sample for sample in samples.values() if sample.feedback_id is not None]
    assert all(sample.reward == -1 for sample in thumbed)
    assert thumbed, "no thumb came in time"
    skips = {event.id: event for event in found["skips"]}
    assert Counter((skip.action_id, skip.reason) for skip in skips.values()) == {
        (name, {UNRELATED: "zero_without_hint", UNSURE: "abstained_without_hint"}[reply]): 1
        for name, reply in expected.items()
        if reply in {UNRELATED, UNSURE}
    }
    assert found["rejections"] == []
    batches = sorted({event.id: event for event in found["batches"]}.values(), key=lambda batch: batch.first_offset)
    packed = [sample_id for batch in batches for sample_id in batch.sample_ids]
    assert len(packed) == len(set(packed)) == num_turns * 3 // 5 // 8 * 8
    assert set(packed) <= set(samples)
    assert all(before.last_offset < after.first_offset for before, after in pairwise(batches))
    report = audit(read_all(kafka, TOPICS), now_ms=now_ms() + AN_HOUR_MS, max_open_age_s=86_400.0)
    assert report.is_clean, [tally.failures[:5] for tally in report.tallies if tally.failures]


def test_sigkill_at_any_moment_loses_nothing_and_makes_nothing_twice(kafka, tmp_path):
    num_turns, num_kills = 300, 3
    feed(kafka, range(num_turns))
    for kill in range(num_kills):
        with processors(kafka, tmp_path, {"batch_size": 8}) as running:
            running.wait_until_running()
            before = num_ids(kafka, VERDICTS)
            until(lambda before=before: num_ids(kafka, VERDICTS) > before, "the processors make progress")
            time.sleep(0.3 * kill)
        feed(kafka, range(num_turns, num_turns + 50))
        num_turns += 50
    num_samples = num_turns * 3 // 5
    with processors(kafka, tmp_path, {"batch_size": 8}):
        until(lambda: num_ids(kafka, BATCHES) == num_samples // 8, "every full batch is sealed")
        until(lambda: num_ids(kafka, SKIPS) == num_turns * 2 // 5, "every other turn is skipped")

    assert_each_turn_was_done_once(kafka, num_turns)
    found = recorded(kafka, VERDICTS, HINTS)
    assert len(found["verdicts"]) == len(found["hints"]) == num_turns, "a model was asked twice"


def test_one_of_two_workers_is_killed_and_the_other_goes_on(kafka, tmp_path):
    """Partitions move to and fro, with all that is open in them; what one had not committed, the other does again."""
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir()
    num_turns, config = 0, {"batch_size": 8}
    running = [Processors(kafka, home, config) for home in homes]
    try:
        for worker in running:
            worker.wait_until_running()
        for kill in range(4):
            before = num_ids(kafka, VERDICTS)
            feed(kafka, range(num_turns, num_turns + 100))
            num_turns += 100
            until(lambda before=before: num_ids(kafka, VERDICTS) > before, "the processors make progress")
            time.sleep(0.3 * kill)
            running[kill % 2].kill()
            until(lambda: num_ids(kafka, VERDICTS) == num_turns, "the other one does it all")  # noqa: B023
            running[kill % 2] = Processors(kafka, homes[kill % 2], config)
            running[kill % 2].wait_until_running()
        until(lambda: num_ids(kafka, BATCHES) == num_turns * 3 // 5 // 8, "every full batch is sealed")
        until(lambda: num_ids(kafka, SKIPS) == num_turns * 2 // 5, "every other turn is skipped")
    finally:
        for worker in running:
            worker.kill()
    assert_each_turn_was_done_once(kafka, num_turns)


def test_nonsense_is_rejected_silence_is_ended_and_sigterm_is_obeyed(kafka, tmp_path):
    nonsense = send_raw(kafka, b"not an event")
    misnamed = asyncio.run(send_misnamed(kafka))
    feed(kafka, [0])
    send(kafka, (ACTIONS, action("lonely", conversation="c-lonely")))
    send(kafka, (FEEDBACK, thumb("lonely", conversation_id="c-lonely")))
    with processors(kafka, tmp_path, {"next_state_timeout_s": 1.0, "seal_after_s": 1.0}) as running:
        until(lambda: num_ids(kafka, SKIPS) == 1, "what nobody answered is skipped")
        until(lambda: num_ids(kafka, SAMPLES) == 2, "what ended with a thumb is a sample")
        until(lambda: num_in_batches(kafka) == 2, "what waits too long is sealed")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=10) == 0
    found = recorded(kafka, NEXT_STATES, *DERIVED)
    assert [(skip.action_id, skip.reason) for skip in found["skips"]] == [("lonely", "no_next_state")]
    (end,) = [event for event in found["next-states"] if event.kind == "ended"]
    assert end.time_ms == action().time_ms + 1_000
    assert {batch.sealed_by for batch in found["batches"]} == {"time"}
    (lonely,) = [sample for sample in found["samples"] if sample.action_id == "lonely"]
    assert (lonely.reward, lonely.feedback_id, lonely.verdict_id) == (1.0, "f-lonely", "")
    rejections = {(one.topic, one.partition, one.offset): one for one in found["rejections"]}
    assert rejections.keys() == {nonsense, misnamed}
    assert rejections[nonsense].value_preview == "not an event"
    assert "A header's name is no UTF-8" in rejections[misnamed].reason
    read = {(one.topic, one.partition, one.offset): one.error for one in read_all(kafka, [ACTIONS])}
    assert {place: str(error) for place, error in read.items() if error} == {
        place: one.reason for place, one in rejections.items()
    }


def send_raw(kafka, value):
    """A record by a producer that knows nothing of events; returns its place."""
    places = []
    client = open_client(Producer, kafka, PRODUCER)
    client.produce(
        kafka.topic("actions"),
        key=b"c-0",
        value=value,
        on_delivery=lambda _, message: places.append(("actions", message.partition(), message.offset())),
    )
    client.flush(10)
    return places[0]


class NoText(str):
    """A header's name that is written as bytes which are no UTF-8: neither of our clients reads it by itself."""

    __slots__ = ()

    def encode(self, *_):
        return b"\xff\xfe"


async def send_misnamed(kafka):
    """A record with such a header among its own, compressed as ours are; returns its place."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    batch = producer.create_batch()
    batch._builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=DefaultRecordBatch.CODEC_ZSTD,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    batch.append(key=b"c-0", value=b"{}", timestamp=None, headers=[("ce_id", b"e"), (NoText("xx"), b"")])
    placed = await (await producer.send_batch(batch, kafka.topic("actions"), partition=0))
    await producer.stop()
    return ("actions", placed.partition, placed.offset)


def test_a_stop_does_not_wait_for_a_broker(tmp_path):
    nowhere = KafkaConfig(bootstrap_servers="127.0.0.1:1", topic_prefix="t.")
    with processors(nowhere, tmp_path, {}) as running:
        until(lambda: "waiting for Kafka at 127.0.0.1:1" in (tmp_path / "log").read_text(), "the processors wait")
        running.process.terminate()
        assert running.process.wait(timeout=5) == 0


def test_the_processors_wait_for_a_broker_that_comes_back(home, tmp_path):
    port, controller = choose_port(None, ""), choose_port(None, "")
    node = Broker(jars=fetch_jars(home.jars, print), folder=tmp_path / "kafka", port=port, controller_port=controller)
    node.prepare()
    kafka, log = KafkaConfig(bootstrap_servers=node.bootstrap_servers), tmp_path / "log"
    with contextlib.ExitStack() as ends:
        broker = Process.start("kafka", node.command(), tmp_path / "kafka.log", {})
        ends.callback(broker.kill)
        wait_for_broker(kafka, DEADLINE_S)
        create_topics(kafka)
        broker.kill()
        running = ends.enter_context(processors(kafka, tmp_path, {}))
        until(lambda: f"waiting for Kafka at {kafka.bootstrap_servers}" in log.read_text(), "the processors wait")
        broker = Process.start("kafka", node.command(), tmp_path / "kafka.log", {})
        ends.callback(broker.kill)
        running.wait_until_running()
