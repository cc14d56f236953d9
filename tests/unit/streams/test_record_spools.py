"""Which spool a recording process writes, and that it records where there can be none."""

from pathlib import Path

import pytest
from example_events import ACTION
from switched_kafka import SwitchedKafka

from schemas.errors import SpoolFullError
from streams import record_spools
from streams.record_spools import take_spool
from streams.recorder import Recorder
from streams.topics import ACTIONS


async def taken(folder: Path, kafka: SwitchedKafka) -> Recorder:
    return await take_spool(folder, kafka, max_bytes=100_000, deadline_s=0.05)


@pytest.mark.parametrize("why", ["it cannot be written", "all are taken"])
async def test_without_a_spool_events_go_to_kafka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    (tmp_path / "file").touch()
    if why == "all are taken":
        monkeypatch.setattr(record_spools, "MAX_SPOOLS", 0)
    kafka = SwitchedKafka()
    own = await taken(tmp_path / "file" / "spools" if why == "it cannot be written" else tmp_path, kafka)
    assert await own.record(ACTIONS, ACTION) == "kafka"
    kafka.up = False
    with pytest.raises(SpoolFullError, match="no spool"):
        await own.record(ACTIONS, ACTION)
    await own.close()
