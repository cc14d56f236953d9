"""`Live`: a process that a benchmark measures, and waits for; `answers`: whether its server does."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.health import ANSWER_S
from infra.process import Process, last_line
from schemas.errors import FatalError


@dataclass(frozen=True, slots=True)
class Live:
    """A started process and its log."""

    process: Process
    log_file: Path

    def wait_for(self, is_there: Callable[[], bool], patience_s: float, poll_s: float) -> None:
        """Looks every `poll_s` whether something has come.

        Raises:  FatalError: the process ended, or it has not come in time.
        """
        end_s = time.monotonic() + patience_s
        while not is_there():
            if not self.process.is_running() or time.monotonic() > end_s:
                name, said = self.process.name, last_line(self.log_file)
                raise FatalError(f"The benchmark's {name} did not get on; {self.log_file} ends: {said}")
            time.sleep(poll_s)


def answers(url: str) -> bool:
    """Whether a GET of the url is answered with a 2xx."""
    try:
        return httpx.get(url, timeout=ANSWER_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False
