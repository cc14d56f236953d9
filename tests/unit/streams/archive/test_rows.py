"""Records on their way into the archive: however they come in, the rows are those of all records, in order."""

from dataclasses import replace

import pytest
from archive_world import taught
from made_log import MadeLog

from streams.archive import rows as gathering
from streams.archive.files import day_of, rows_of
from streams.archive.rows import Rows
from streams.topics import BY_NAME

DAY_MS = 24 * 60 * 60 * 1000


@pytest.mark.parametrize(("num_records", "num_bytes"), [(1, 10**9), (2, 10**9), (10**9, 300), (10**9, 10**9)])
def test_rows_are_the_same_in_chunks_of_any_size(
    num_records: int, num_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_CHUNK_RECORDS", num_records)
    monkeypatch.setattr(gathering, "_CHUNK_BYTES", num_bytes)
    broken = MadeLog()
    broken.broken("hints")
    records = [*taught().as_sent(), *broken.records]
    rows = Rows(records)

    assert rows
    assert rows.num_bytes == sum(len(one.value) for one in records)
    found = {topic.name: table for topic, _, table in rows.tables()}
    assert found.keys() == {one.topic for one in records}
    for name, table in found.items():
        assert table.equals(rows_of(BY_NAME[name], [one for one in records if one.topic == name]))


def test_each_day_has_a_table_of_its_own() -> None:
    log = MadeLog()
    for number in range(4):
        log.hint(f"a{number}")
    dated = [replace(one, timestamp_ms=one.timestamp_ms + place % 2 * DAY_MS) for place, one in enumerate(log.records)]
    tables = {day: table["offset"].to_pylist() for _, day, table in Rows(dated).tables()}

    assert tables == {day_of(dated[0].timestamp_ms): [0, 2], day_of(dated[1].timestamp_ms): [1, 3]}


def test_without_records_there_is_nothing_to_write() -> None:
    assert not Rows()
    assert list(Rows().tables()) == []


@pytest.mark.parametrize(("timestamp_ms", "day"), [(0, "1970-01-01"), (-1, "1969-12-31"), (2**62, "unknown")])
def test_a_day_is_utc_and_a_time_that_no_calendar_has_is_unknown(timestamp_ms: int, day: str) -> None:
    assert day_of(timestamp_ms) == day
