"""`Live` and `served`: processes that a benchmark measures, and waits for; `answers`: whether a server does."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from infra.health import ANSWER_S
from infra.process import Process, last_line
from schemas.errors import FatalError

_START_S, _POLL_S = 120.0, 0.1


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


@contextmanager
def served(
    name: str,
    command: Sequence[str],
    log_file: Path,
    environment: Mapping[str, str],
    health: str,
    *,
    is_any_answer: bool = False,
) -> Iterator[int]:
    """A process that answers at the url `health`, for the length of the `with`: its id.

    Args:    is_any_answer: that there is no such page is an answer, too.
    Raises:  FatalError: it does not.
    """
    process = Process.start(name, command, log_file, environment)
    try:
        Live(process, log_file).wait_for(partial(answers, health, is_any_answer=is_any_answer), _START_S, _POLL_S)
        yield process.pid
    finally:
        process.stop()


def answers(url: str, *, is_any_answer: bool = False) -> bool:
    """Whether a GET of the url is answered: with a 2xx, or with anything."""
    try:
        return httpx.get(url, timeout=ANSWER_S, trust_env=False).is_success or is_any_answer
    except httpx.HTTPError:
        return False
