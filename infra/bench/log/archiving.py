"""`bench_archiving`: how fast the archiver is, beside a bare Kafka consumer that counts the same records.

Measured: reading every committed record of every topic from the beginning, on a real broker of its own that holds
nothing else. The consumer looks at nothing; the archiver decodes and checks each event, types its columns, knows each
id, writes Parquet with zstd, syncs it to the disk, and does its housekeeping meanwhile (`catch_up`,
streams/archive/archiver.py). The broker's share of the machine is in both. The two take turns, the archiver each time
in a fresh folder. Not measured: how far an archiver falls behind live producers.
"""

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

from infra.bench.log.history import Pattern, Written
from infra.kafka.running import running_broker
from schemas.clock import now_ms
from streams.archive.archiver import catch_up
from streams.archive.manifest import read_manifest
from streams.config import ArchiveConfig, KafkaConfig
from streams.counting import count_records
from streams.loading import Loader
from streams.topics import BY_NAME, TOPICS

ROUNDS = 3  # of which the median counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast one reader was: the median of the rounds. `seconds` [rounds] are of the wall clock, of each."""

    seconds: tuple[float, ...]
    records_per_s: float
    mib_per_s: float  # of values, as they were produced


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivingTable:
    """Both readers of the same records; `ratio` is the archiver's speed over the consumer's."""

    num_records: int
    value_bytes: int
    archived_bytes: int  # of the Parquet files, which hold columns and raw records
    consumer: Rate
    archiver: Rate
    ratio: float


@dataclass(slots=True)
class _Load:
    num_records: int = 0
    value_bytes: int = 0


def bench_archiving(
    pattern: Pattern, num_records: int, jars: tuple[Path, ...], folder: Path, report: Callable[[str], None]
) -> ArchivingTable:
    """Produces the records, then reads them with each reader in turn.

    Args:    jars: Kafka's class path (infra/kafka/jars.py); folder: for the broker and the archives, empty; what is
             left there may be removed; report: told about progress.
    Raises:  BrokerUnavailableError: the broker did not start, or stopped.
    """
    with running_broker(jars, folder / "broker", folder / "kafka.log") as kafka:
        report(f"Producing {num_records:,} records")
        load = _produce(kafka, pattern, num_records)
        counting_s, archiving_s = [], []
        for number in range(ROUNDS):
            archive = folder / f"archive-{number}"
            counting_s.append(_timed(partial(count_records, kafka, TOPICS, num_records)))
            archiving_s.append(_timed(partial(catch_up, ArchiveConfig(), kafka, archive)))
            took = f"counted in {counting_s[-1]:.1f} s, archived in {archiving_s[-1]:.1f} s"
            report(f"Round {number + 1} of {ROUNDS}: {took}")
            files = read_manifest(archive).files
            shutil.rmtree(archive)
    consumer, archiver = _rate(load, counting_s), _rate(load, archiving_s)
    return ArchivingTable(
        num_records=sum(file.rows for file in files),
        value_bytes=load.value_bytes,
        archived_bytes=sum(file.size for file in files),
        consumer=consumer,
        archiver=archiver,
        ratio=archiver.records_per_s / consumer.records_per_s,
    )


def _produce(kafka: KafkaConfig, pattern: Pattern, num_records: int) -> _Load:
    loader, load, first_ms = Loader(kafka), _Load(), now_ms()
    for written in islice(_history(pattern, first_ms), num_records):
        loader.load(BY_NAME[written.topic], written.encoded, written.timestamp_ms)
        load.num_records += 1
        load.value_bytes += len(written.encoded.value)
    loader.finish()
    return load


def _history(pattern: Pattern, first_ms: int) -> Iterator[Written]:
    for number in count():
        yield from pattern.copy(number, first_ms)


def _timed(work: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def _rate(load: _Load, seconds: list[float]) -> Rate:
    median_s = statistics.median(seconds)
    return Rate(
        seconds=tuple(seconds),
        records_per_s=load.num_records / median_s,
        mib_per_s=load.value_bytes / median_s / 2**20,
    )
