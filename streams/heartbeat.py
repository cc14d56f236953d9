"""`Heartbeat`: tells the supervisor that a worker is alive, also in the middle of a long step.

Owns one file and one thread. The thread touches the file every second, but only while the loop has reported progress
lately: a loop that hangs falls silent, and the supervisor restarts it.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

TOUCH_EVERY_S = 1.0
# One turn on a slow core: 2,048 tokens, student and three teachers, at about 60 tokens a second.
LONGEST_SILENCE_S = 180.0

_LOGGER = logging.getLogger(__name__)


class Heartbeat:
    """A context in which `path` is touched; call `progress` at least every `longest_silence_s`."""

    def __init__(
        self,
        path: Path,
        *,
        touch_every_s: float = TOUCH_EVERY_S,
        longest_silence_s: float = LONGEST_SILENCE_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._clock_s = clock_s
        self._touch_every_s = touch_every_s
        self._longest_silence_s = longest_silence_s
        self._progress_s = clock_s()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def progress(self) -> None:
        """The loop has got somewhere."""
        self._progress_s = self._clock_s()

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.progress()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.is_set():
            if self._clock_s() - self._progress_s < self._longest_silence_s:
                self._touch()
            self._ended.wait(self._touch_every_s)

    def _touch(self) -> None:
        try:
            self._path.touch()
        except OSError as error:  # a full disk passes; a thread that ended would look like a loop that hangs
            _LOGGER.warning("cannot touch heartbeat %s: %s", self._path, error.strerror)
