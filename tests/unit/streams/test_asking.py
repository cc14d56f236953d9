"""Asking a broker that stops in the middle of a login; waiting for one to listen, whatever the addresses are."""

import asyncio
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from infra.ports import HOST, choose_port
from schemas.errors import BrokerUnavailableError
from streams.asking import BrokerQuestions, wait_for_listener
from streams.config import KafkaConfig

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


METADATA, HANDSHAKE, VERSIONS = 3, 17, 18  # keys of Kafka's requests
KNOWN = [(METADATA, 0, 5), (HANDSHAKE, 0, 1), (VERSIONS, 0, 0), (36, 0, 1)]
OLDER_PLEASE = 35


class StopsInTheHandshake(socketserver.StreamRequestHandler):
    """Says what it can do, and is gone when a login begins."""

    def handle(self) -> None:
        while head := self.rfile.read(12):
            size, key, version, correlation = struct.unpack(">ihhi", head)
            self.rfile.read(size - 8)
            if key != VERSIONS:
                return
            body = struct.pack(">hi", OLDER_PLEASE if version else 0, len(KNOWN))
            body += b"".join(struct.pack(">hhh", *one) for one in KNOWN)
            self.wfile.write(struct.pack(">ii", 4 + len(body), correlation) + body)


@pytest.fixture
def stopping() -> Iterator[KafkaConfig]:
    with socketserver.ThreadingTCPServer((HOST, 0), StopsInTheHandshake) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        login = {"sasl.mechanism": "PLAIN", "sasl.username": "a", "sasl.password": "b"}
        yield KafkaConfig(
            bootstrap_servers=f"{HOST}:{server.server_address[1]}",
            client={"security.protocol": "SASL_PLAINTEXT", **login},
        )
        server.shutdown()


def test_a_login_that_is_broken_off_passes(stopping: KafkaConfig) -> None:
    with pytest.raises(BrokerUnavailableError):
        BrokerQuestions(stopping).topics(2.0)
