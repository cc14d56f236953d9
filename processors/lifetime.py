"""`live`: a service from its start to SIGTERM, with a heartbeat while it is healthy.

Consumes SIGTERM and SIGINT; unblocked by them, or by the first part of the service that ends. A stop is cut off after
`STOP_S`: whatever was not acknowledged is read again at the next start, so leaving at once loses nothing.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

STOP_S = 8.0
HEARTBEAT_S = 1.0

_LOGGER = logging.getLogger(__name__)


class Service(Protocol):
    """Something that runs for ever, made of parts that should not end."""

    async def start(self) -> None:
        """Get ready; may take long."""

    def parts(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What runs from then on."""

    async def stop(self) -> None:
        """Give everything back."""


async def live(service: Service, heartbeat: Path) -> None:
    """Run a service until it is asked to stop.

    Args:    heartbeat: touched every second from start to stop.
    Raises:  whatever the start or the first part to end raises.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    stop = asyncio.create_task(asked.wait())
    parts: list[asyncio.Task[None]] = []
    try:
        starting = asyncio.create_task(service.start())
        parts.append(starting)
        await _first([stop, starting])
        if not asked.is_set():
            _LOGGER.info("running")
            parts += [asyncio.create_task(part) for part in (*service.parts(), _beat(heartbeat))]
            await _first([stop, *parts[1:]])
    finally:
        await _stop(service, [stop, *parts])


async def _first(tasks: "Sequence[asyncio.Task[Any]]") -> None:
    """Wait for the first task to end; raises what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _beat(heartbeat: Path) -> None:
    while True:
        await asyncio.to_thread(heartbeat.touch)
        await asyncio.sleep(HEARTBEAT_S)


async def _stop(service: Service, tasks: "Sequence[asyncio.Task[Any]]") -> None:
    # Not `asyncio.timeout`: libraries that are being stopped swallow cancellation.
    cut_off = asyncio.get_running_loop().call_later(STOP_S, _leave)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await service.stop()
    cut_off.cancel()


def _leave() -> None:
    _LOGGER.warning("did not stop within %g s; leaving at once", STOP_S)
    os._exit(1)
