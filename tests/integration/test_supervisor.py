"""The supervisor with real child processes, small ones."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from infra.health import heartbeat_is_fresh
from infra.home import Home
from infra.keeper import Component
from infra.run_file import ComponentState, RunFile, RunState
from infra.supervisor import Supervisor
from schemas.errors import FatalError

BEATS = "import pathlib, sys, time\nwhile True: pathlib.Path(sys.argv[1]).touch(); time.sleep(0.1)"
BEATS_ONCE = "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
CRASHES = "raise SystemExit(1)"
REFUSES = "import sys; print('There is no model; run nextstate prepare.', file=sys.stderr); sys.exit(2)"


class Stack:
    """A supervisor, what it wrote and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_file = RunFile(Home(folder))
        self.said: list[str] = []
        state = RunState(
            pid=0, started_ms=0, policy="p", bootstrap_servers="", topic_prefix="", gateway_url="", engine_url=""
        )
        self.supervisor = Supervisor(self.run_file, state, self.said.append)

    def component(self, name: str, code: str, *, silence_deadline_s: float = 30.0) -> Component:
        heartbeat = self.folder / f"{name}.beat"
        return Component(
            name=name,
            command=(sys.executable, "-c", code, str(heartbeat)),
            log_file=self.folder / "logs" / f"{name}.log",
            check=heartbeat_is_fresh(heartbeat, max_age_s=1.5),
            heartbeat=heartbeat,
            silence_deadline_s=silence_deadline_s,
        )

    def state(self, name: str) -> ComponentState:
        run = self.run_file.read()
        assert run is not None
        return run.components[name]

    def pid(self, name: str) -> int:
        pid = self.state(name).pid
        assert pid is not None
        return pid


@asynccontextmanager
async def stack(folder: Path) -> AsyncIterator[Stack]:
    it = Stack(folder)
    with it.run_file.held():
        try:
            yield it
        finally:
            await it.supervisor.stop()


async def eventually(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_start_returns_when_all_are_healthy_and_a_stop_leaves_nothing(tmp_path: Path) -> None:
    async with stack(tmp_path) as it:
        await it.supervisor.start([it.component("a", BEATS), it.component("b", BEATS)])
        pids = [it.pid("a"), it.pid("b")]
        assert all(it.state(name).state == "healthy" for name in "ab")
        await it.supervisor.stop()
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert it.state("a").state == "stopped"


async def test_a_killed_component_comes_back_healthy(tmp_path: Path) -> None:
    async with stack(tmp_path) as it:
        await it.supervisor.start([it.component("a", BEATS)])
        first = it.pid("a")
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: it.state("a").num_starts == 2 and it.state("a").state == "healthy")
        assert it.pid("a") != first


async def test_a_silent_component_is_started_again(tmp_path: Path) -> None:
    async with stack(tmp_path) as it:
        await it.supervisor.start([it.component("a", BEATS_ONCE, silence_deadline_s=1.0)])
        first = it.pid("a")
        await eventually(lambda: it.state("a").num_starts == 2)
        assert not psutil.pid_exists(first)
        assert "a: silent" in it.said


async def test_a_fatal_component_stays_down_and_says_why(tmp_path: Path) -> None:
    async with stack(tmp_path) as it:
        with pytest.raises(FatalError, match=r"There is no model; run nextstate prepare\.$"):
            await it.supervisor.start([it.component("a", REFUSES)])
        assert it.state("a").state == "failed"
        assert it.state("a").num_starts == 1


async def test_a_component_that_never_comes_up_ends_the_start(tmp_path: Path) -> None:
    async with stack(tmp_path) as it:
        with pytest.raises(FatalError, match=r"^a does not run; the last line of .*a\.log is: nothing$"):
            await it.supervisor.start([it.component("a", CRASHES)])
        assert it.state("a").num_starts == 3


async def test_stages_stop_in_reverse_order(tmp_path: Path) -> None:
    async with stack(tmp_path) as it:
        await it.supervisor.start([it.component("kafka", BEATS)])
        await it.supervisor.start([it.component("gateway", BEATS)])
        await it.supervisor.stop()
        assert [line for line in it.said if "stopped" in line] == ["gateway: stopped", "kafka: stopped"]
