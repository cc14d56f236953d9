"""Waiting for a broker to listen: as long as asked, no longer than needed, whatever the addresses are."""

import asyncio
import socket
import time

import pytest

from infra.ports import HOST, choose_port
from streams.asking import wait_for_listener

LONG_S = 30.0
SOON_S = 10.0  # on busy cores
NOBODY = f"{HOST}:1"


async def taken_s(servers: str, within_s: float) -> float:
    started_s = time.monotonic()
    await wait_for_listener(servers, within_s)
    return time.monotonic() - started_s


def test_who_listens_already_is_not_waited_for() -> None:
    with socket.create_server((HOST, 0)) as listener:
        servers = f"{NOBODY},{HOST}:{listener.getsockname()[1]}"
        assert asyncio.run(taken_s(servers, LONG_S)) < SOON_S


def test_who_listens_later_is_waited_for() -> None:
    async def both() -> float:
        port = choose_port(None, "")
        waiting = asyncio.create_task(taken_s(f"{HOST}:{port}", LONG_S))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        async with await asyncio.start_server(lambda _, writer: writer.close(), HOST, port):
            return await waiting

    assert asyncio.run(both()) < SOON_S


@pytest.mark.parametrize("servers", [NOBODY, "", "broker", "a..b:9092", f"{HOST}:99999", f"{'x' * 70}.example:1"])
def test_where_nobody_listens_it_ends_with_the_time(servers: str) -> None:
    assert 0.2 <= asyncio.run(taken_s(servers, 0.2)) < SOON_S
