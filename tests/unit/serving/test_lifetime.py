"""The works of a process: none of them ends unseen."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from schemas.errors import FatalError
from serving.lifetime import beat, run_until_stopped


async def broken() -> None:
    raise FatalError("broken")


async def done() -> None:
    pass


async def test_the_first_work_that_fails_ends_the_others_and_is_raised(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="broken"):
        await asyncio.wait_for(run_until_stopped(beat(tmp_path / "beat"), broken()), 5)


async def test_sigterm_ends_all_works_even_where_one_is_done(tmp_path: Path) -> None:
    heart = tmp_path / "beat"
    running = asyncio.create_task(run_until_stopped(beat(heart), done()))
    while not heart.exists():
        await asyncio.sleep(0.01)
    assert not running.done()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 5)


async def test_a_heartbeat_that_cannot_be_written_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.lifetime.HEARTBEAT_S", 0.01)
    folder = tmp_path / "heartbeats"
    beating = asyncio.create_task(beat(folder / "gateway"))
    while not caplog.records:
        await asyncio.sleep(0.01)
    folder.mkdir()
    while not (folder / "gateway").exists():
        await asyncio.sleep(0.01)
    beating.cancel()
    assert "cannot touch heartbeat" in caplog.records[0].message
