"""An archive back into an empty broker: the same records, which are not archived a second time."""

import asyncio
import secrets
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from archive_world import taught
from made_log import MadeLog
from test_query_on_kafka import events_of, send

from infra.commands.log import Log
from schemas.errors import RejectedError
from streams.admin import create_topics
from streams.archive.archiver import run_archiver
from streams.archive.manifest import read_complete_ms, read_manifest
from streams.archive.reading import Archive
from streams.archive.restore import restore
from streams.archive.writer import ArchiveWriter
from streams.config import ArchiveConfig, KafkaConfig
from streams.consumer import read_all
from streams.loading import Loader
from streams.recorded import RESTORED, Recorded
from streams.topics import TOPICS

pytestmark = pytest.mark.kafka

WAIT_S = 30.0


async def archive_all(kafka: KafkaConfig, folder: Path) -> None:
    """Runs the archiver until it has all there is."""
    stop = threading.Event()
    before = read_complete_ms(folder)
    args = (ArchiveConfig(flush_s=0.1), kafka, folder, folder.with_name("heartbeat"), stop)
    running = asyncio.create_task(asyncio.to_thread(run_archiver, *args))
    for _ in range(int(WAIT_S / 0.1)):
        await asyncio.sleep(0.1)
        if running.done() or read_complete_ms(folder) > before:
            break
    stop.set()
    await running


def another(kafka: KafkaConfig) -> KafkaConfig:
    """The same broker, with topics that nobody has written to."""
    config = kafka.model_copy(update={"topic_prefix": f"t{secrets.token_hex(4)}."})
    create_topics(config)
    return config


def contents(records: Sequence[Recorded]) -> list[tuple[object, ...]]:
    """What must be the same, in the order of each partition."""
    return sorted(
        ((one.topic, one.partition, number), one.timestamp_ms, one.key, one.value, _own_headers(one))
        for number, one in enumerate(records)
    )


def _own_headers(record: Recorded) -> list[tuple[str, bytes]]:
    return [header for header in record.headers if header[0] != RESTORED]


def by_place(kafka: KafkaConfig) -> list[Recorded]:
    return sorted(read_all(kafka, TOPICS), key=lambda one: (one.topic, one.partition, one.offset))


async def test_an_empty_broker_gets_the_log_back_byte_for_byte(kafka: KafkaConfig, tmp_path: Path) -> None:
    log, folder = taught(), tmp_path / "archive"
    await send(kafka, events_of(log))
    await archive_all(kafka, folder)
    fresh = another(kafka)
    restore(Archive.read(folder), fresh, lambda _: None)

    assert contents(by_place(fresh)) == contents(by_place(kafka))
    assert len(by_place(fresh)) == len(log.records)

    await archive_all(fresh, folder)  # the same archive goes on with the new broker
    manifest = read_manifest(folder)
    assert sum(file.rows for file in manifest.files) == len(log.records)
    assert {at.epoch for at in manifest.positions} == {1}

    more = MadeLog()
    more.action("a9")
    await send(fresh, events_of(more))
    both = Log(kafka=fresh, archive=Archive.read(folder))
    assert both.query().sql("SELECT count(*) FROM actions").rows == ((4,),)
    assert both.query().sql("FROM duplicates").rows == ()
    assert len(list(both.records())) == len(log.records) + 1
    await archive_all(fresh, folder)
    alone = Log(kafka=None, archive=Archive.read(folder))
    assert alone.query().sql("SELECT count(*) FROM actions").rows == ((4,),)

    third = another(kafka)  # from an archive of two brokers' records
    restore(Archive.read(folder), third, lambda _: None)
    assert contents(by_place(third)) == contents(by_place(fresh))


async def test_a_restore_that_was_cut_off_goes_on(
    kafka: KafkaConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "archive"
    await send(kafka, events_of(taught()))
    await archive_all(kafka, folder)
    fresh, load_one, left = another(kafka), Loader.load, [5]

    def cut_off(*args: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionAbortedError
        load_one(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Loader, "load", cut_off)
        with pytest.raises(ConnectionAbortedError):
            restore(Archive.read(folder), fresh, lambda _: None)
    there = []
    restore(Archive.read(folder), fresh, lambda done: there.append(done.num_there))

    assert sum(there) == len(by_place(kafka)) - sum(1 for _ in by_place(fresh)[sum(there) :])
    assert contents(by_place(fresh)) == contents(by_place(kafka))


async def test_a_broker_with_records_of_its_own_is_left_alone(kafka: KafkaConfig, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    await send(kafka, events_of(taught()))
    await archive_all(kafka, folder)

    with pytest.raises(RejectedError, match="not from this archive"):
        restore(Archive.read(folder), kafka, lambda _: None)


async def test_what_kafka_deleted_unread_is_a_gap(kafka: KafkaConfig, tmp_path: Path) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    from streams.client import open_client

    folder, log = tmp_path / "archive", MadeLog()
    log.hint("a")
    await send(kafka, events_of(log))
    await archive_all(kafka, folder)
    for number in range(3):
        log.hint(f"b{number}")
    await send(kafka, events_of(log)[1:])
    (place,) = {(one.partition) for one in by_place(kafka)}
    admin = open_client(AdminClient, kafka)
    for future in admin.delete_records([TopicPartition(kafka.topic("hints"), place, 3)]).values():
        future.result()
    await archive_all(kafka, folder)

    manifest = read_manifest(folder)
    assert [(gap.topic, gap.partition, gap.first, gap.last) for gap in manifest.gaps] == [("hints", place, 1, 2)]
    assert sum(file.rows for file in manifest.files) == 2
    await archive_all(kafka, folder)
    assert len(read_manifest(folder).gaps) == 1


async def test_what_another_archive_brought_back_is_archived_and_seen(kafka: KafkaConfig, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs" / "archive", tmp_path / "ours" / "archive"
    await send(kafka, events_of(taught()))
    await archive_all(kafka, theirs)
    fresh = another(kafka)
    restore(Archive.read(theirs), fresh, lambda _: None)
    await archive_all(fresh, ours)

    assert sum(file.rows for file in read_manifest(ours).files) == len(taught().records)
    assert Log(kafka=fresh, archive=Archive.read(ours)).query().sql("SELECT count(*) FROM turns").rows == ((3,),)


async def test_a_broker_that_has_lost_what_was_archived_is_read_from_its_beginning(
    kafka: KafkaConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    log = MadeLog()
    for number in range(3):
        log.hint(f"a{number}")
    await send(kafka, events_of(log))
    await archive_all(kafka, folder)
    with ArchiveWriter(folder) as writer:  # as if Kafka had had two records more, which a power cut took from it
        (at,) = [at for at in writer.manifest.positions if at.topic == "hints" and at.offset]
        writer.append([], [replace(at, offset=at.offset + 2)])
    await archive_all(kafka, folder)

    manifest = read_manifest(folder)
    assert [at.epoch for at in manifest.positions if at.epoch] == [1]
    alone = Log(kafka=None, archive=Archive.read(folder))
    assert alone.query().sql("SELECT count(*) FROM hints").rows == ((3,),)
    assert alone.query().sql("SELECT count(*) FROM duplicates").rows == ((3,),)
