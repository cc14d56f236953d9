"""A client that cannot be installed is one sentence; the next run tries again."""

from pathlib import Path

import pytest

from infra.connect.clients import client_named
from infra.connect.install import STAMP, installed
from schemas.errors import MissingRuntimeError


def test_without_node_a_client_for_node_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingRuntimeError, match=r"^npm is missing: install Node with npm\.$"):
        installed(client_named("ai"), tmp_path / "ai")


def test_without_a_network_the_installer_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with pytest.raises(MissingRuntimeError, match=r"^openai cannot be installed: .*network") as refused:
        installed(client_named("openai"), tmp_path / "openai")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "openai" / STAMP).exists()


def test_what_is_installed_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_named("openai")
    (tmp_path / STAMP).write_text("\n".join(client.packages))
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert installed(client, tmp_path) == (str(tmp_path / "bin" / "python"),)
