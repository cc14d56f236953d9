"""`staged`: a whole stack before the suite's engine, with the tiny model, for faults that are tried hundreds of times.

Everything but the engine and the size of the model is what users run: the supervisor, Kafka, the gateway, the
processors with their embedded judge, the trainer, the reloader, the archiver. The engine is a process of the suite's
own, so that a fault can end it and start it again at the same address.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from infra.bench.live import Live, answers
from infra.components import ENVIRONMENT
from infra.faults.outcome import Trial
from infra.home import Home
from infra.ports import HOST, choose_port
from infra.prepare import runtime_home
from infra.process import Process
from infra.run_file import ComponentState, RunFile
from infra.settings import Settings
from infra.stack import Stack, running_stack
from infra.tiny_model import make_tiny_model
from schemas.errors import FatalError
from streams.failpoints import VARIABLE

Tables = Mapping[str, Mapping[str, Any]]  # settings by table
_ENGINE_START_S, _POLL_S = 120.0, 0.05
BACK_WITHIN_S = 120.0  # the supervisor's longest pause and a start on a machine that others use, too


@dataclass(slots=True)
class FaultyEngine:
    """The suite's engine as a process, at an address that outlives it."""

    model_path: Path
    log_file: Path
    port: int
    process: Process | None = None

    @property
    def url(self) -> str:
        """Where it listens, whenever it runs."""
        return f"http://{HOST}:{self.port}"

    def tables(self) -> Tables:
        """The settings of a stack before it."""
        engine = {"url": self.url, "model_path": str(self.model_path), "context_length": 8192}
        return {"engine": engine, "trainer": {"max_staleness": 1000, "lora_rank": 4, "keep_checkpoints": 20}}

    def start(self) -> None:
        """Begins a life; returns when it answers."""
        command = [sys.executable, "-m", "infra.faults.engine", str(self.port), str(self.model_path)]
        self.process = Process.start("engine", command, self.log_file, ENVIRONMENT)
        is_up = partial(answers, f"{self.url}/health")
        Live(self.process, self.log_file).wait_for(is_up, _ENGINE_START_S, _POLL_S)

    def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.kill()

    def freeze(self) -> None:
        """It stands still, with its connections open, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def standing(self) -> int:
        """How many of its answers hang."""
        return int(httpx.get(f"{self.url}/standing", timeout=10.0, trust_env=False).text)

    def pace(self, **pace: Any) -> None:
        """Sets its pace (infra/faults/engine.py)."""
        httpx.post(f"{self.url}/pace", json=pace, timeout=10.0, trust_env=False).raise_for_status()

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.popen.send_signal(number)


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack that is up, and what can be done to what its supervisor runs."""

    stack: Stack

    @property
    def home(self) -> Home:
        """Where its files lie."""
        return Home(self.stack.settings.home)

    def component(self, name: str) -> ComponentState:
        """What its supervisor says of one component.

        Raises:  FatalError: there is no stack, or no such component.
        """
        state = RunFile(self.home).read()
        if state is None or name not in state.components:
            raise FatalError(f"The stack in {self.home.root} has no component {name!r}; see its logs.")
        return state.components[name]

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Sends a component's process a signal; False, where it has ended by itself."""
        pid = self.component(name).pid
        if pid is None or not lives(pid):
            return False
        os.kill(pid, number)
        return True

    async def back(self, name: str, num_starts: int, timeout_s: float = BACK_WITHIN_S) -> bool:
        """Whether a component gets healthy again after its `num_starts`th start, before the deadline."""
        return await until(lambda: self._is_back(name, num_starts), timeout_s)

    def _is_back(self, name: str, num_starts: int) -> bool:
        now = self.component(name)
        return now.num_starts > num_starts and now.state == "healthy"


@dataclass(frozen=True, slots=True)
class Stage(RunningStack):
    """A stack before the suite's engine, and what a fault can do to it."""

    engine: FaultyEngine
    orders: Path  # for failpoints


def lives(pid: int) -> bool:
    """Whether there is such a process; not one that has ended, though nobody has asked yet how."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def until(holds: Callable[[], bool], timeout_s: float) -> bool:
    """Whether something comes to hold before the deadline."""
    end_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end_s:
            return False
        await asyncio.sleep(_POLL_S)
    return True


@asynccontextmanager
async def staged(trial: Trial, tables: Tables | None = None) -> AsyncIterator[Stage]:
    """The stage, up for the length of the `async with`; its files lie in the trial's folder.

    Args:    tables: settings that a fault needs otherwise, by table.
    """
    model_path = await asyncio.to_thread(make_tiny_model, trial.folder / "model")
    engine = FaultyEngine(model_path, trial.folder / "engine.log", choose_port(None, ""))
    orders = trial.folder / "orders"
    orders.mkdir()
    os.environ[VARIABLE] = str(orders)  # the supervisor's children inherit it; this process has its failpoints off
    try:
        await asyncio.to_thread(engine.start)
        async with running_stack(_settings(trial, engine.tables(), tables or {}), lambda _: None) as stack:
            yield Stage(stack, engine, orders)
    finally:
        del os.environ[VARIABLE]
        engine.kill()


@asynccontextmanager
async def staged_with_sglang(trial: Trial, tables: Tables | None = None) -> AsyncIterator[RunningStack]:
    """A stack as a user starts it, with its own SGLang and the model of the settings; the rest as in `staged`."""
    engine = trial.settings.engine.model_dump() | {"url": None}
    async with running_stack(_settings(trial, {"engine": engine}, tables or {}), lambda _: None) as stack:
        yield RunningStack(stack)


def _settings(trial: Trial, engine: Tables, tables: Tables) -> Settings:
    own: dict[str, Mapping[str, Any]] = {
        "gateway": {"port": choose_port(None, "")},
        "gate": {"enabled": False},  # an engine that computes nothing has no answers to measure
        "processors": {"batch_size": 8, "next_state_timeout_s": 10.0, "seal_after_s": 10.0},
        "trainer": {"max_staleness": 1000},
        "archive": {"flush_s": 1.0},
        **engine,
    }
    for name, table in tables.items():
        own[name] = {**own.get(name, {}), **table}
    homes = {"home": trial.folder / "home", "runtime_home": runtime_home(trial.settings).root}
    return Settings.model_validate({**homes, **own})
