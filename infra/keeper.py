"""`Keeper`: keeps one component running and healthy.

Starts it, asks for its health, and starts it again, after a growing pause, when it ends or stays silent too long. A
component that ends with `FATAL_EXIT` has met what only the user can mend: it is left down, and its last log line says
why. Produces a state, and a call of `on_change` whenever that changes.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from infra.health import Check
from infra.process import Process, last_line
from schemas.errors import FatalError

State = Literal["starting", "healthy", "silent", "waiting", "failed", "stopped"]

FATAL_EXIT = 2
POLL_S = 0.2
CHECK_EVERY_S = 1.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0  # a restart must be healthy within 30 s
STEADY_S = 60.0  # healthy for this long: the next end is a new trouble, not the old one
MAX_FAILED_STARTS = 3  # before the first health; then the start as a whole is given up
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """What to run, and how to tell that it works."""

    name: str
    command: tuple[str, ...]
    log_file: Path
    check: Check
    environment: Mapping[str, str] = field(default_factory=dict)
    heartbeat: Path | None = None  # removed before a start: an old one says nothing
    start_deadline_s: float = 300.0  # from the start to the first health
    silence_deadline_s: float = 30.0  # without health, after it was healthy


class Keeper:
    """One component over its starts and ends."""

    def __init__(self, component: Component, on_change: Callable[["Keeper"], None]) -> None:
        self.component = component
        self.state: State = "stopped"
        self.num_starts = 0
        self.process: Process | None = None
        self._on_change = on_change
        self._failed_starts = 0
        self._was_healthy = asyncio.Event()
        self._gave_up = asyncio.Event()

    async def keep(self) -> None:
        """Runs until cancelled, or until the component has failed for good."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                healthy_s = await self._one_life()
            except OSError as error:  # no room for its log, no more processes: both pass
                _LOGGER.error("%s could not be started or watched: %s", self.component.name, error)  # noqa: TRY400
                self._end_unfinished()
                healthy_s = 0.0
            if self.state == "failed" or self._failed_starts >= MAX_FAILED_STARTS:
                self._gave_up.set()
            if self.state == "failed":
                return
            self._become("waiting")
            pause_s = FIRST_PAUSE_S if healthy_s > STEADY_S else pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def ready(self, keeping: asyncio.Task[None]) -> None:
        """Returns at the first health.

        Args:    keeping: the task that runs `keep`.
        Raises:  FatalError when it failed for good or never came up; what `keep` raised, where a fault ended it.
        """
        waits = [asyncio.create_task(event.wait()) for event in (self._was_healthy, self._gave_up)]
        await asyncio.wait([*waits, keeping], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if keeping.done():
            keeping.result()
        if not self._was_healthy.is_set():
            raise FatalError(self.last_words())

    async def stop(self) -> None:
        """Ends the component; call it when `keep` is cancelled."""
        if self.process is not None:
            await asyncio.to_thread(self.process.stop)
        self._become("stopped")

    def last_words(self) -> str:
        """Why it is down, in one sentence: its own last one, where it left one."""
        name, log_file = self.component.name, self.component.log_file
        return f"{name} does not run; the last line of {log_file} is: {last_line(log_file)}"

    async def _one_life(self) -> float:
        if self.component.heartbeat is not None:
            self.component.heartbeat.unlink(missing_ok=True)
        component = self.component
        self.process = Process.start(component.name, component.command, component.log_file, component.environment)
        self.num_starts += 1
        self._become("starting")
        healthy_since_s = await self._watch(self.process)
        self.process.kill()
        if healthy_since_s is None:
            self._failed_starts += 1
        if self.process.popen.returncode == FATAL_EXIT:
            self._become("failed")
        return 0.0 if healthy_since_s is None else time.monotonic() - healthy_since_s

    def _end_unfinished(self) -> None:
        """After an error in the middle of a life: nothing of it goes on beside the next."""
        if self.process is not None and self.process.is_running():
            self.process.kill()
        self._failed_starts += 1

    async def _watch(self, process: Process) -> float | None:
        """Returns when the process ended or was silent too long: the time of its first health, if there was one."""
        answered_s, first_health_s, deadline_s = time.monotonic(), None, self.component.start_deadline_s
        next_check_s = 0.0
        while process.is_running():
            now_s = time.monotonic()
            if now_s >= next_check_s:
                next_check_s = now_s + CHECK_EVERY_S
                if await self.component.check():
                    answered_s, deadline_s = time.monotonic(), self.component.silence_deadline_s
                    first_health_s = first_health_s or answered_s
                    self._become("healthy")
                elif time.monotonic() - answered_s > deadline_s:
                    self._become("silent")
                    return first_health_s
            await asyncio.sleep(POLL_S)
        return first_health_s

    def _become(self, state: State) -> None:
        if state == "healthy":
            self._was_healthy.set()
        if state != self.state:
            self.state = state
            self._on_change(self)
