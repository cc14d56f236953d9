import socket

import pytest

from infra.ports import HOST, choose_lasting_port, choose_port
from schemas.errors import MissingRuntimeError, SettingsError


def test_a_port_in_use_names_itself_and_the_setting() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            MissingRuntimeError, match=rf"^Port {port} is in use: .* set gateway\.port to another port\.$"
        ):
            choose_port(port, "gateway.port")
    assert choose_port(port, "gateway.port") == port


def test_a_port_that_does_not_exist_is_not_called_taken() -> None:
    with pytest.raises(SettingsError, match=r"^There is no port 70000: set gateway\.port to one from 1 to 65535\.$"):
        choose_port(70_000, "gateway.port")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            PermissionError(13, "Permission denied"),
            "Port 80 is not for this user: set gateway.port to a port from 1024 on.",
        ),
        (OSError(99, "Not available"), "Port 80 cannot be opened (Not available): set gateway.port to another port."),
    ],
)
def test_a_port_that_the_system_refuses_says_what_it_refuses(
    error: OSError, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(MissingRuntimeError) as caught:
        choose_port(80, "gateway.port")
    assert str(caught.value) == sentence


def test_without_a_configured_port_any_free_one_is_chosen() -> None:
    with socket.create_server((HOST, choose_port(None, "gateway.port"))):
        pass


def test_a_lasting_port_is_free_and_below_those_that_outgoing_connections_are_given() -> None:
    port = choose_lasting_port()
    with socket.create_server((HOST, port)):
        assert port < 32_768, "the first that Linux gives by default"
