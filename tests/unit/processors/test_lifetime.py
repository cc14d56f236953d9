"""A service runs until it is asked to stop or one of its parts ends."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from processors.lifetime import live


class Service:
    def __init__(self, *parts, start=None):
        self.coroutines, self.on_start, self.is_stopped = parts, start, False

    async def start(self):
        if self.on_start:
            await self.on_start()

    def parts(self):
        return [part() for part in self.coroutines]

    async def stop(self):
        self.is_stopped = True


async def forever():
    await asyncio.Event().wait()


async def test_sigterm_stops_a_running_service(tmp_path):
    service, heartbeat = Service(forever), tmp_path / "heartbeat"
    task = asyncio.create_task(live(service, heartbeat))
    while not heartbeat.exists():
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 5)
    assert service.is_stopped


async def test_sigterm_during_a_start_stops_it(tmp_path):
    service, heartbeat = Service(start=forever), tmp_path / "heartbeat"
    task = asyncio.create_task(live(service, heartbeat))
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 5)
    assert service.is_stopped
    assert not heartbeat.exists()


async def test_a_part_that_fails_stops_the_service_and_its_error_is_raised(tmp_path):
    async def fail():
        raise OSError("disk is full")

    service = Service(forever, fail)
    with pytest.raises(OSError, match="disk is full"):
        await live(service, tmp_path / "heartbeat")
    assert service.is_stopped


async def test_a_start_that_fails_is_raised(tmp_path):
    async def fail():
        raise OSError("no broker")

    with pytest.raises(OSError, match="no broker"):
        await live(Service(start=fail), tmp_path / "heartbeat")


STUBBORN = """
import asyncio, os, signal, sys
from pathlib import Path
from processors import lifetime

class Stubborn:
    async def start(self): pass
    def parts(self): return []
    async def stop(self):
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass

lifetime.STOP_S = 0.3
async def main():
    asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGTERM)
    await lifetime.live(Stubborn(), Path(sys.argv[1]))
asyncio.run(main())
"""


def test_a_service_that_does_not_stop_is_left(tmp_path):
    command = [sys.executable, "-c", STUBBORN, str(tmp_path / "heartbeat")]
    done = subprocess.run(command, timeout=20, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "did not stop within 0.3 s" in done.stderr
