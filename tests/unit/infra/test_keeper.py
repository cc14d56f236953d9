"""A supervisor goes on supervising where the disk is full or nobody listens any more."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from infra.health import heartbeat_is_fresh
from infra.home import Home
from infra.keeper import Component
from infra.process import Process
from infra.run_file import RunFile, RunState
from infra.supervisor import Supervisor
from schemas.errors import FatalError

BEATS = "import pathlib, sys, time\nwhile True: pathlib.Path(sys.argv[1]).touch(); time.sleep(0.1)"
STATE = RunState(pid=0, started_ms=0, policy="p", bootstrap_servers="", topic_prefix="", gateway_url="", engine_url="")


def component(folder: Path) -> Component:
    heartbeat = folder / "beat"
    return Component(
        name="a",
        command=(sys.executable, "-S", "-c", BEATS, str(heartbeat)),
        log_file=folder / "a.log",
        check=heartbeat_is_fresh(heartbeat),
        heartbeat=heartbeat,
    )


@asynccontextmanager
async def supervising(folder: Path, report: Callable[[str], None]) -> AsyncIterator[Supervisor]:
    run_file = RunFile(Home(folder))
    with run_file.held():
        supervisor = Supervisor(run_file, STATE, report)
        try:
            yield supervisor
        finally:
            await supervisor.stop()


async def test_a_full_disk_and_a_closed_pipe_end_no_supervision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def full(run_file: RunFile, state: RunState) -> None:
        raise OSError(28, "No space left on device")

    def report(line: str) -> None:
        said.append(line)
        raise BrokenPipeError

    monkeypatch.setattr(RunFile, "write", full)
    async with asyncio.timeout(60), supervising(tmp_path, report) as supervisor:
        await supervisor.start([component(tmp_path)])
        ((keeper, keeping),) = supervisor._stages[0]
        assert keeper.process is not None
        keeper.process.kill()
        while not (keeper.num_starts == 2 and keeper.state == "healthy"):
            await asyncio.sleep(0.05)
        assert not keeping.done()
    assert any("run.json is out of date" in line and "No space left" in line for line in said)


async def test_what_could_not_be_started_once_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, refusals = Process.start, [BlockingIOError(11, "Resource temporarily unavailable")]

    def refuse_once(*arguments: object) -> Process:
        if refusals:
            raise refusals.pop()
        return start(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Process, "start", refuse_once)
    async with asyncio.timeout(60), supervising(tmp_path, lambda _: None) as supervisor:
        await supervisor.start([component(tmp_path)])
        assert not refusals


async def test_a_start_does_not_wait_for_a_keeper_that_has_failed(tmp_path: Path) -> None:
    async def refuse() -> bool:
        raise FatalError("The credentials in [kafka.client] are wrong.")

    async with asyncio.timeout(60), supervising(tmp_path, lambda _: None) as supervisor:
        with pytest.raises(FatalError, match="credentials"):
            await supervisor.start([replace(component(tmp_path), check=refuse)])
