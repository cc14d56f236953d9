"""The archiver's own thread on a real broker: what goes wrong there is told, and nothing is lost by it."""

import errno
from pathlib import Path

import pytest
from archive_world import taught
from test_query_on_kafka import events_of, send

from streams.archive import files
from streams.archive.archiver import StorageError, catch_up
from streams.archive.manifest import read_complete_ms, read_manifest
from streams.config import ArchiveConfig, KafkaConfig

pytestmark = pytest.mark.kafka


async def test_a_disk_that_is_full_is_a_sentence_and_the_next_start_goes_on(
    kafka: KafkaConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, folder = taught(), tmp_path / "archive"
    await send(kafka, events_of(log))

    def is_full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    catch_up(ArchiveConfig(), kafka, folder)
    before = read_manifest(folder)
    await send(kafka, events_of(log))
    with monkeypatch.context() as patch:
        patch.setattr(files.pq, "ParquetWriter", is_full)
        with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\): make room"):
            catch_up(ArchiveConfig(), kafka, folder)
    assert read_manifest(folder) == before

    catch_up(ArchiveConfig(), kafka, folder)
    assert sum(file.rows for file in read_manifest(folder).files) == 2 * len(log.records)
    assert read_complete_ms(folder) > 0
