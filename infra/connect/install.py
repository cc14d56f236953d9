"""`installed`: a client in a folder of its own, at its pinned versions, and how its programs are started there.

`python_with` does the same for packages that are no client. Python's get a virtual environment by uv, Node's a folder
by npm; a folder that has its packages already is left as it is. Registries, mirrors and proxies are those that uv and
npm are set up with.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.connect.clients import Client, Installer
from schemas.errors import MissingRuntimeError

INSTALL_S = 900.0  # the largest is 768 MB
STAMP = "installed.txt"
KEPT_VARIABLES = ("LANG", "TMPDIR", "SSL_CERT_FILE")
NO_PROXY = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def installed(client: Client, folder: Path) -> tuple[str, ...]:
    """The command that runs a program of this client, but for the program's name.

    Args:    folder: the client's own; it may be empty, and is kept.
    Raises:  MissingRuntimeError: Node, npm, uv or the network is missing, or the packages cannot be installed.
    """
    _fill(client.name, client.installer, client.packages, folder)
    match client.file.suffix:
        case ".py":
            return (str(folder / "bin" / "python"),)
        case ".mjs":
            return (str(_node_programs(folder) / "node"),)
        case _:
            return (_found("sh", "a POSIX shell"),)


def own_environment(folder: Path, home: Path, connection: Mapping[str, str]) -> dict[str, str]:
    """All that a client's program gets to know: the machine's basics, a home of its own, and what connects it.

    Args:    folder: where the client is installed; home: remembers nothing of earlier runs; connection: the variables
             of its lines (infra/connect/lines.py).
    """
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {**kept, **NO_PROXY, "PATH": _search_path(folder), "HOME": str(home), **connection}


def python_with(name: str, packages: Sequence[str], folder: Path) -> Path:
    """A Python that has these packages, and nothing of ours.

    Args:    name: of the whole, for errors; packages: pinned; folder: its own; it may be empty, and is kept.
    Raises:  MissingRuntimeError: uv or the network is missing, or the packages cannot be installed.
    """
    _fill(name, "uv", packages, folder)
    return folder / "bin" / "python"


def _search_path(folder: Path) -> str:
    """What was installed for it, then the machine's."""
    return os.pathsep.join([str(_node_programs(folder)), str(folder / "bin"), os.environ.get("PATH", os.defpath)])


def _node_programs(folder: Path) -> Path:
    return folder / "node_modules" / ".bin"


def _fill(name: str, installer: Installer, packages: Sequence[str], folder: Path) -> None:
    stamp, wanted = folder / STAMP, "\n".join(packages)
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for command in _installing(name, installer, packages, folder):
            _run(command, folder, name)
        stamp.write_text(wanted)


def _installing(name: str, installer: Installer, packages: Sequence[str], folder: Path) -> Sequence[Sequence[str]]:
    match installer:
        case "uv":
            uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
            if uv is None:
                raise MissingRuntimeError("uv is missing: run make install.")
            make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
            fill = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *packages]
            return [make, fill]
        case "npm":
            npm = [_found("npm", "Node with npm"), "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
            return [[*npm, package] for package in packages]  # Node first: the others are installed by it
        case "none":
            _found(name, name)
            return []


def _found(program: str, what: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise MissingRuntimeError(f"{program} is missing: install {what}.")
    return path


def _run(command: Sequence[str], folder: Path, name: str) -> None:
    environment = {**os.environ, "PATH": _search_path(folder)}
    try:
        subprocess.run(
            command, env=environment, cwd=folder, timeout=INSTALL_S, check=True, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired as error:
        raise MissingRuntimeError(f"{name} was not installed in {INSTALL_S:g} s.") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MissingRuntimeError(f"{name} cannot be installed: {reason}") from error
