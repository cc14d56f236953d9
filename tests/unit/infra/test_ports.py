import socket

import pytest

from infra.ports import HOST, choose_port
from schemas.errors import MissingRuntimeError


def test_a_port_in_use_names_itself_and_the_setting() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            MissingRuntimeError, match=rf"^Port {port} is in use: .* set gateway\.port to another port\.$"
        ):
            choose_port(port, "gateway.port")
    assert choose_port(port, "gateway.port") == port


def test_without_a_configured_port_any_free_one_is_chosen() -> None:
    with socket.create_server((HOST, choose_port(None, "gateway.port"))):
        pass
