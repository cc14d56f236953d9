"""What `status` reads from the log."""

from pathlib import Path

from archive_world import archive, taught
from made_log import POLICY, MadeLog

from infra.commands.status import _archive_facts, _serving_version
from schemas.clock import now_ms
from streams.archive.manifest import write_complete_ms
from streams.archive.reading import Archive
from tests.version_lines import loaded


def test_the_version_that_serves_is_the_newest_of_the_newest_engine() -> None:
    log = MadeLog()
    assert _serving_version(log.query(), POLICY) == 0
    for engine, version in (("first", 8), ("first", 9), ("second", 8), ("first", 9)):
        log.put("reloads", loaded(version, engine, POLICY))
    assert _serving_version(log.query(), POLICY) == 8


def test_the_archive_is_counted_and_its_age_is_told(tmp_path: Path) -> None:
    records = taught().as_sent()
    archive(tmp_path, records)

    facts = _archive_facts(Archive.read(tmp_path))
    assert (facts["records"], facts["age_s"]) == (len(records), None)

    write_complete_ms(tmp_path, now_ms() - 5_000)
    assert 5 <= _archive_facts(Archive.read(tmp_path))["age_s"] < 60
