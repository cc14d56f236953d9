"""`choose_port`: a configured port that is free, or any free one."""

import socket

from schemas.errors import MissingRuntimeError

HOST = "127.0.0.1"


def choose_port(configured: int | None, setting: str) -> int:
    """The configured port, or a free one where none is configured.

    Args:    setting: name of the setting that holds the port, for the error's sentence.
    Raises:  MissingRuntimeError when another process listens on the configured port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((HOST, configured or 0))
        except OSError as error:
            raise MissingRuntimeError(
                f"Port {configured} is in use: stop the program that listens there, or set {setting} to another port."
            ) from error
        port: int = probe.getsockname()[1]
        return port
