"""`kill -9` of the archiver, again and again, under load: every committed record is archived once."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer
from made_log import MadeLog

from streams.archive.files import read_tables, records_of
from streams.archive.manifest import read_manifest
from streams.archive.reading import Archive
from streams.client import PRODUCER, open_client
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.query import LogQuery
from streams.recorded import Recorded
from streams.topics import TOPICS

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

NUM_KILLS = 20
CAUGHT_UP_WITHIN_S = 60.0
PROCESS = Path(__file__).parent.parent / "archiver_process.py"


class Load(threading.Thread):
    """Writes events in transactions, every third of which it aborts, and every fifth event a second time."""

    def __init__(self, kafka: KafkaConfig) -> None:
        super().__init__(daemon=True)
        self._kafka = kafka
        self._ended = threading.Event()
        self.num_committed = 0

    def run(self) -> None:
        producer = open_client(Producer, self._kafka, PRODUCER, {"transactional.id": "load"})
        producer.init_transactions()
        number = 0
        while not self._ended.wait(0.01):
            number += 1
            records = some_records(number)
            producer.begin_transaction()
            for record in records:
                name = self._kafka.topic(record.topic)
                producer.produce(name, key=record.key, value=record.value, headers=record.headers)
            if number % 3:
                producer.commit_transaction()
                self.num_committed += len(records)
            else:
                producer.abort_transaction()

    def end(self) -> None:
        self._ended.set()
        self.join()


def some_records(number: int) -> list[Recorded]:
    log = MadeLog()
    a = f"a{number}"
    log.ready(a, 1, "A hint.", question="Why?", answer="So.", reply="Thanks!", conversation_id=f"c{number % 7}")
    if number % 5 == 0:
        log.again()
    return log.as_sent()


def start(kafka: KafkaConfig, folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(PROCESS), kafka.model_dump_json(), str(folder)])


def places(records: list[Recorded]) -> Counter[tuple[str, int, int, bytes]]:
    return Counter((one.topic, one.partition, one.offset, one.value) for one in records)


def archived(folder: Path) -> list[Recorded]:
    manifest = read_manifest(folder)
    return [one for file in manifest.files for part in read_tables(folder, file) for one in records_of(part)]


def wait_until(folder: Path, num_records: int, timeout_s: float) -> None:
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s and sum(file.rows for file in read_manifest(folder).files) < num_records:
        time.sleep(0.1)


def test_every_record_is_archived_once(kafka: KafkaConfig, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    load = Load(kafka)
    load.start()
    chance = random.Random(7)
    lives = []
    try:
        for _ in range(NUM_KILLS):
            generation = read_manifest(folder).generation
            process = start(kafka, folder)
            while read_manifest(folder).generation == generation:  # it is at work
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(chance.uniform(0.0, 0.5))
            process.kill()
            process.wait()
            lives.append(read_manifest(folder).generation - generation)
    finally:
        load.end()
    process = start(kafka, folder)
    committed = list(read_all(kafka, TOPICS))
    wait_until(folder, len(committed), CAUGHT_UP_WITHIN_S)
    process.terminate()
    assert process.wait(30) == 0

    assert load.num_committed == len(committed) > 100
    assert sum(lives) > NUM_KILLS, "it was always killed before it wrote twice"
    assert places(archived(folder)) == places(committed)
    manifest = read_manifest(folder)
    assert manifest.retired, "no files were merged"
    assert manifest.gaps == ()
    query = LogQuery(None, [], archive=Archive.read(folder))
    by_topic = LogQuery(kafka)
    for view in ("verdicts", "samples", "duplicates"):
        text = f'SELECT topic, "partition", "offset", event_id FROM {view} ORDER BY ALL'
        assert query.sql(text) == by_topic.sql(text)
