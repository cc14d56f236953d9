"""`BrokerQuestions`: what an admin client asks first, and why a broker will not be asked; `wait_for_listener`.

librdkafka tells nobody who waits why it cannot connect: a wrong password looks like a broker that is down, for ever. It
says so beside, to whoever listens. Here somebody does, so a login or a certificate that is refused is a sentence, at
once, unless it was only broken off, as by a broker that stops. Of a listener that speaks TLS to a client that does not,
librdkafka knows nothing: then it is asked for its hello.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import FatalError
from streams.client import NOT_ALLOWED, as_ours, open_client
from streams.config import KafkaConfig

_SLICE_S = 5.0  # of waiting, between two looks at why
_PAUSE_S = 0.1
_HELLO_S = 2.0
_LOOK_AGAIN_S = 0.5
_BROKEN_OFF = ("transport failure", "timed out", "disconnected")  # librdkafka counts it as a login that failed
_LOGGER = logging.getLogger(__name__)
_QUIET = {"log_level": 0}  # what it would log is what we are here to tell; and a broker that starts is no fault


class BrokerQuestions:
    """One admin client, `client`, whose first question is `topics`."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._heard: list[KafkaError] = []
        self.client = open_client(AdminClient, config, {"error_cb": self._heard.append, **_QUIET})

    def topics(self, timeout_s: float) -> Any:
        """The topics that there are, by name.

        Raises:  BrokerUnavailableError: no answer in time; FatalError: the broker refuses us, or we the broker.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(deadline - time.monotonic(), _PAUSE_S)
            try:
                return self.client.list_topics(timeout=min(left_s, _SLICE_S)).topics
            except KafkaException as error:
                self._refuse_refused()
                if time.monotonic() + _PAUSE_S >= deadline:
                    raise as_ours(error, "Asking Kafka for its topics") from error
            time.sleep(_PAUSE_S)

    def _refuse_refused(self) -> None:
        self.client.poll(0)
        servers = self._config.bootstrap_servers
        for error in self._heard:
            reason = error.str().partition(": ")[2].partition(" (after ")[0] or error.str()
            if error.code() in NOT_ALLOWED and not any(words in reason.lower() for words in _BROKEN_OFF):
                raise FatalError(
                    f"Kafka at {servers} refuses our login: {reason}; check sasl.mechanism and sasl.username in "
                    "[kafka.client], and NEXTSTATE_KAFKA_SASL_PASSWORD."
                )
            is_tls = error.code() == KafkaError._SSL  # noqa: SLF001 - librdkafka's local codes all begin so
            if is_tls and "certificate" in reason:  # a broker that is stopped breaks a handshake off, which passes
                raise FatalError(
                    f"No TLS with Kafka at {servers}: {reason}; check security.protocol and ssl.ca.location in "
                    "[kafka.client]."
                )
        protocol = self._config.client.get("security.protocol", "plaintext").upper()
        if protocol in {"PLAINTEXT", "SASL_PLAINTEXT"} and any(map(_speaks_tls, _addresses(str(servers)))):
            raise FatalError(
                f"Kafka at {servers} speaks TLS only, but security.protocol in [kafka.client] is {protocol}: set it to "
                "SASL_SSL, or to SSL where no login is asked for."
            )


async def wait_for_listener(servers: str, within_s: float) -> None:
    """Returns as soon as somebody listens at one of these addresses, or when the time is over: a client says why then.

    Nothing is asked, so a login or a certificate is none of its business, and it can be cancelled at any time.
    """
    if await _listens(servers):
        return
    _LOGGER.info("waiting for Kafka at %s", servers)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not await _listens(servers):  # noqa: ASYNC110 - another process opens it
                await asyncio.sleep(_LOOK_AGAIN_S)


async def _listens(servers: str) -> bool:
    for host, port in _addresses(servers):
        # refused, unknown, no answer in time, or no address at all
        with contextlib.suppress(OSError, UnicodeError, OverflowError):
            async with asyncio.timeout(_HELLO_S):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
    return False


def _addresses(servers: str) -> Iterator[tuple[str, int]]:
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if host and port.isdecimal():
            yield host.rpartition("//")[2].strip("[]"), int(port)


def _speaks_tls(address: tuple[str, int]) -> bool:
    """Whether a listener answers TLS's hello. Nothing is told to it, so whom it shows itself to be is not checked."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        contextlib.suppress(OSError),  # ssl.SSLError is one
        socket.create_connection(address, timeout=_HELLO_S) as plain,
        context.wrap_socket(plain),
    ):
        return True
    return False
