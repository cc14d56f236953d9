"""`RunFile`: what runs in one home, for the commands that look at it or end it.

Owns `run.json` (written whole, then renamed) and the lock that a supervisor holds for as long as it lives; the kernel
drops the lock with the process, so a stale file is never mistaken for a running stack.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from infra.home import Home
from schemas.errors import FatalError

LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentState:
    """One component, as its keeper saw it last."""

    state: str
    pid: int | None
    num_starts: int
    log_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """One run of the stack."""

    pid: int  # of the supervisor
    started_ms: int
    policy: str
    bootstrap_servers: str
    topic_prefix: str
    gateway_url: str
    engine_url: str
    ready: bool = False
    components: dict[str, ComponentState] = field(default_factory=dict)


class RunFile:
    """The run of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock.

        Raises:  FatalError when another supervisor holds it.
        """
        self._home.root.mkdir(parents=True, exist_ok=True)
        with self._home.lock_file.open("w") as lock:
            if not _lock(lock.fileno()):
                running = self.read()
                raise FatalError(
                    f"A stack runs already in {self._home.root}{f' (process {running.pid})' if running else ''}: "
                    "use it, end it with nextstate down, or give this one a home of its own with NEXTSTATE_HOME."
                )
            self._home.run_file.unlink(missing_ok=True)
            try:
                yield
            finally:
                self._home.run_file.unlink(missing_ok=True)

    def write(self, state: RunState) -> None:
        """Replaces the file."""
        unfinished = self._home.run_file.with_suffix(".unfinished")
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
        unfinished.rename(self._home.run_file)

    def read(self) -> RunState | None:
        """What runs, or None."""
        if not self.is_held():
            return None
        try:
            return msgspec.json.decode(self._home.run_file.read_bytes(), type=RunState)
        except FileNotFoundError:
            return None

    def is_held(self) -> bool:
        """Whether a supervisor lives."""
        try:
            lock = os.open(self._home.lock_file, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(lock)
        finally:
            os.close(lock)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._home.run_file


def _lock(file: int) -> bool:
    """Tries for a moment: a command that looks whether a stack runs holds the lock while it looks."""
    end_s = time.monotonic() + LOOK_S
    while not _try_lock(file):
        if time.monotonic() > end_s:
            return False
        time.sleep(LOOK_S / 10)
    return True


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
