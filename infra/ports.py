"""`choose_port`: a configured port that is free, or any free one; `choose_lasting_port`: one for a server that dies."""

import errno
import random
import socket

from schemas.errors import MissingRuntimeError, SettingsError

HOST = "127.0.0.1"
_LASTING = range(12_000, 32_000)  # systems take the ports of outgoing connections from above


def choose_port(configured: int | None, setting: str) -> int:
    """The configured port, or a free one where none is configured.

    Args:    setting: name of the setting that holds the port, for the error's sentence.
    Raises:  MissingRuntimeError when the configured port is taken or refused; SettingsError when no port is so high.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((HOST, configured or 0))
        except OverflowError as error:
            raise SettingsError(f"There is no port {configured}: set {setting} to one from 1 to 65535.") from error
        except OSError as error:
            raise MissingRuntimeError(_sentence(error, configured, setting)) from error
        port: int = probe.getsockname()[1]
        return port


def choose_lasting_port() -> int:
    """A free port that nobody else is given while its server is away: clients that try to reach it would be, in time.

    Raises:  MissingRuntimeError: none of many is free.
    """
    tries = random.SystemRandom().sample(_LASTING, 100)
    for port in tries[:-1]:
        try:
            return choose_port(port, "")
        except MissingRuntimeError:
            continue
    return choose_port(tries[-1], "")


def _sentence(error: OSError, port: int | None, setting: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} is in use: stop the program that listens there, or set {setting} to another port."
        case errno.EACCES:
            return f"Port {port} is not for this user: set {setting} to a port from 1024 on."
        case _:
            return f"Port {port} cannot be opened ({error.strerror}): set {setting} to another port."
