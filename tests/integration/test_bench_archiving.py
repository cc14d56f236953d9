"""The benchmark of the archiver at a tiny size: what it reports fits what was produced and archived."""

from pathlib import Path

import pytest
from recorded_talks import recorded_talks

from infra.bench.log.archiving import ROUNDS, bench_archiving
from infra.bench.log.history import Pattern
from infra.home import Home
from infra.kafka.jars import fetch_jars

pytestmark = pytest.mark.kafka


def test_both_readers_read_every_record_and_the_rates_follow_from_the_seconds(home: Home, tmp_path: Path) -> None:
    pattern, told = Pattern.of(recorded_talks()), []
    num_records = 5 * len(pattern) + 3  # the last copy is cut off
    table = bench_archiving(pattern, num_records, fetch_jars(home.jars, print), tmp_path, told.append)

    assert table.num_records == num_records  # rows of the archive: each record once
    assert table.value_bytes > num_records * 100
    assert table.archived_bytes > 0
    for rate in (table.consumer, table.archiver):
        assert len(rate.seconds) == ROUNDS
        assert rate.records_per_s == num_records / sorted(rate.seconds)[ROUNDS // 2]
        assert rate.mib_per_s * 2**20 / rate.records_per_s == pytest.approx(table.value_bytes / num_records)
    assert table.ratio == table.archiver.records_per_s / table.consumer.records_per_s
    assert len(told) == 1 + ROUNDS
    assert list(tmp_path.glob("archive-*")) == []
