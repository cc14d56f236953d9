"""`try_open_listeners`: the stack, and the gateway alone, told to listen where others are, without a key."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping

import orjson

from infra.faults.outcome import Outcome, Trial
from infra.handover import secrets_of
from infra.home import Home
from infra.keeper import FATAL_EXIT
from infra.ports import HOST, choose_port
from infra.settings import Settings, private

HOSTS = ("0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "", "example.org")
NUM_SHORT = 1
TIMEOUT_S = 300.0


def try_open_listeners(trial: Trial) -> Outcome:
    """Starts each way, with each address; a start that goes on, or opens its port for a moment, is wrong."""
    wrong: list[str] = []
    hosts = HOSTS[:NUM_SHORT] if trial.is_short else HOSTS
    for host in hosts:
        port = choose_port(None, "")
        for name, command, environment in _ways(trial, host, port):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
            )
            said = done.stderr.strip()
            if done.returncode != FATAL_EXIT or said.count("\n") or "NEXTSTATE_API_KEYS" not in said:
                wrong.append(f"{name} on {host!r} ended with {done.returncode} and said {said[-200:]!r}.")
            if _is_open(port):
                wrong.append(f"{name} on {host!r} listens.")
    return Outcome(
        tried=2 * len(hosts), lost=0, twice=0, wrong=tuple(wrong), note=f"hosts {', '.join(map(repr, hosts))}"
    )


def _ways(trial: Trial, host: str, port: int) -> list[tuple[str, list[str], Mapping[str, str]]]:
    settings = private(trial.settings)
    settings = settings.model_copy(
        update={"home": trial.folder, "gateway": settings.gateway.model_copy(update={"host": host, "port": port})}
    )
    options = [f"--set=gateway.host='{host}'", f"--set=gateway.port={port}"]
    environment = _environment(settings)
    file = Home(trial.folder).settings_file
    file.write_bytes(orjson.dumps(settings.model_dump(mode="json")))
    return [
        ("nextstate up", [sys.executable, "-c", "import infra.cli; infra.cli.main()", "up", *options], environment),
        (
            "the gateway",
            [sys.executable, "-m", "infra.component", "gateway", str(file), str(trial.folder / "heartbeat")],
            environment,
        ),
    ]


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, **secrets_of("gateway", settings), "NEXTSTATE_HOME": str(settings.home)}


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
