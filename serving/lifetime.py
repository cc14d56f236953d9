"""`run_until_stopped`: the works of a process, from their start to SIGTERM or to the first one that fails.

Nothing that a process needs can end unseen: an error in any of its works ends them all, and the supervisor starts the
process again.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

_LOGGER = logging.getLogger(__name__)
HEARTBEAT_S = 1.0


async def run_until_stopped(*works: Coroutine[Any, Any, None]) -> None:
    """Runs all of them until SIGTERM or SIGINT, until this is cancelled, or until one of them fails.

    A work that ends without an error is done, and the others go on.

    Raises:  what the first one to fail raises.
    """
    stopped = asyncio.Event()
    with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: whoever runs us cancels
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    stop = asyncio.create_task(stopped.wait())
    tasks: set[asyncio.Task[Any]] = {stop, *map(asyncio.create_task, works)}
    running = tasks
    try:
        while stop in running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def beat(heartbeat: Path) -> None:
    """Touches the file every second, until cancelled."""
    while True:
        try:
            await asyncio.to_thread(heartbeat.touch)
        except OSError as error:  # a full disk passes, and who is served need not notice
            _LOGGER.warning("cannot touch heartbeat %s: %s", heartbeat, error.strerror)
        await asyncio.sleep(HEARTBEAT_S)
