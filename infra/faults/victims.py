"""`Victim`: what is killed, as its supervisor keeps it. `OneOfTwo`: one of two workers of a group, at random.

A victim is struck by a signal, or has fallen at a failpoint, and is then asked when it is back.
"""

import asyncio
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from infra.components import worker
from infra.faults.stage import BACK_WITHIN_S, RunningStack, lives, until
from infra.health import heartbeat_is_fresh
from infra.process import Process
from schemas.errors import FatalError

DYING_WITHIN_S = 10.0  # on cores that others use, too


@dataclass(slots=True)
class Victim:
    """A component of the stack."""

    running: RunningStack
    component: str
    num_starts: int = 0  # of the process that died

    async def ready(self) -> None:
        """Call it before each strike."""

    def strike(self, chance: random.Random) -> bool:  # noqa: ARG002 - two share the odds
        """`kill -9`, now; False: it was dead already."""
        self.num_starts = self.running.component(self.component).num_starts
        return self.running.signal(self.component, signal.SIGKILL)

    async def fell(self, pid: int) -> None:
        """It dies at a failpoint, as this process; its supervisor may have started another one since."""
        await until(lambda: not lives(pid), DYING_WITHIN_S)
        now = self.running.component(self.component)
        self.num_starts = now.num_starts if now.pid in {pid, None} else now.num_starts - 1

    async def back(self) -> bool:
        """Whether it gets healthy again in time."""
        return await self.running.back(self.component, self.num_starts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is ours."""


class OneOfTwo(Victim):
    """A second worker in the component's group, from `async with` on: partitions move between the two."""

    async def __aenter__(self) -> Self:
        """Starts it.

        Raises:  FatalError: it does not get healthy.
        """
        self._start()
        if not await self._second_is_healthy():
            raise FatalError(f"A second worker of {self.component} did not start; see {self._log_file}.")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._second.kill()

    async def ready(self) -> None:
        """Both are there, as far as that is up to us."""
        if not self._second.is_running():
            self._start()
            await self._second_is_healthy()

    def strike(self, chance: random.Random) -> bool:
        """One or the other."""
        if chance.random() < 0.5:
            was_running = self._second.is_running()
            self._second.kill()
            return was_running
        return super().strike(chance)

    async def fell(self, pid: int) -> None:
        """One or the other does."""
        if pid == self._second.popen.pid:
            await until(lambda: not lives(pid), DYING_WITHIN_S)
        else:
            await super().fell(pid)

    async def back(self) -> bool:
        """Whether the one that died gets healthy again in time; the second we start again ourselves."""
        if self._second.is_running():
            return await super().back()
        self._start()
        return await self._second_is_healthy()

    @property
    def _log_file(self) -> Path:
        return self.running.home.logs / f"{self.component}-second.log"

    def _start(self) -> None:
        name, home = f"{self.component}-second", self.running.home
        self._heartbeat = home.heartbeats / name
        self._heartbeat.unlink(missing_ok=True)
        first = worker(self.component, home, self.running.stack.settings)
        command = [*first.command[:-1], str(self._heartbeat)]
        self._second = Process.start(name, command, self._log_file, first.environment)

    async def _second_is_healthy(self) -> bool:
        check = heartbeat_is_fresh(self._heartbeat)
        try:
            async with asyncio.timeout(BACK_WITHIN_S):
                while not await check():  # noqa: ASYNC110 - another process tells it, by a file
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return False
        return True
