"""`Process`: one child process in its own process group, tied to this one, with a log file.

It starts at construction by `Process.start`, ends with `stop`, and takes everything it started with it: what is left
of its group after the end is killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")
TETHERED = Path(__file__).with_name("tethered")
STOP_DEADLINE_S = 10.0  # Faust can hang after a crash inside; a stop must end
POLL_S = 0.05
LOG_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Process:
    """A started child."""

    name: str
    popen: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: str, command: Sequence[str], log_file: Path, environment: Mapping[str, str]) -> "Process":
        """Starts a command; call it from a thread that lives as long as the child should (see infra/tether.py)."""
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as log:
            popen = subprocess.Popen(
                [sys.executable, "-S", "-E", str(TETHER), str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        return cls(name, popen)

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self.popen.pid

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.popen.poll() is None

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Asks it to end, waits, then kills the whole group."""
        self.ask_to_stop()
        self.wait(deadline_s)
        self.kill()

    def ask_to_stop(self) -> None:
        """SIGTERM to the process itself; it tells its own children."""
        if self.is_running():
            self.popen.send_signal(signal.SIGTERM)

    def wait(self, deadline_s: float) -> bool:
        """Whether it ended before the deadline."""
        end = time.monotonic() + deadline_s
        while self.is_running() and time.monotonic() < end:
            time.sleep(POLL_S)
        return not self.is_running()

    def kill(self) -> None:
        """SIGKILL to all that is left of its group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.popen.wait()


def with_tethered_children(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a Python program whose own Python processes are to die with it, however it ends."""
    path = environment.get("PYTHONPATH") or os.environ.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": os.pathsep.join([str(TETHERED), *([path] if path else [])])}


def last_line(log_file: Path) -> str:
    """The last line that is not empty of a log; "nothing" where there is none."""
    tail = log_file.read_bytes()[-LOG_TAIL_BYTES:] if log_file.exists() else b""
    lines = [line.strip() for line in tail.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"
