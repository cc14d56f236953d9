"""From which start on a component that died at a failpoint counts as back."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from infra.faults.victims import Victim


def running(pid: int | None, num_starts: int) -> Any:
    return SimpleNamespace(component=lambda _: SimpleNamespace(pid=pid, num_starts=num_starts))


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("is_restarted", "after"),
    [(False, 5), (None, 5), (True, 4)],
    ids=["its supervisor has not noticed", "it has no process now", "another has started"],
)
async def test_it_is_back_with_the_next_start(dead: int, is_restarted: bool | None, after: int) -> None:
    pid = {False: dead, None: None, True: os.getpid()}[is_restarted]
    victim = Victim(running(pid, num_starts=5), "trainer")
    await victim.fell(dead)
    assert victim.num_starts == after


@pytest.fixture
def dying() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"])


async def test_a_process_that_is_dying_is_waited_for(dying: "subprocess.Popen[bytes]") -> None:
    victim = Victim(running(dying.pid, num_starts=5), "trainer")
    await victim.fell(dying.pid)
    assert dying.poll() == 0
    assert victim.num_starts == 5
