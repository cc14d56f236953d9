"""`Aside`: blocking calls off the event loop, in a thread that a program which ends does not wait for.

`asyncio.to_thread` has threads that every interpreter joins at its end, without a limit. Owns one daemon thread, which
does one call after the other. Unblocked by: a call.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Aside:
    """For one asyncio loop; its thread begins with the first call. Args: name: of the thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """Its result, when the calls before it and it are done."""
        done: Future[T] = Future()
        self._calls.put((done, call))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return asyncio.wrap_future(done)

    def end(self) -> None:
        """Let the thread end, after the calls that it has."""
        self._calls.put(None)

    def _run(self) -> None:
        while (next_one := self._calls.get()) is not None:
            done, call = next_one
            if not done.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(result)
