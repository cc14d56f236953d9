"""The lines that `nextstate connect` prints are those of the programs that the benchmark runs."""

import re
import subprocess
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from infra.cli import nextstate
from infra.connect.clients import CLIENTS, PROGRAMS, Client, client_named
from infra.connect.lines import Address, connecting, program
from schemas.errors import SettingsError

ADDRESS = Address("http://127.0.0.1:9", "some-key", "some-policy", 2048)
PINNED = {"uv": re.compile(r"^[\w.-]+(\[\w+\])?==[\d.]+$"), "npm": re.compile(r"^(@[\w-]+/)?[\w-]+@[\d.]+$")}
each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@each_client
def test_a_program_has_lines_that_connect_it_and_they_name_address_and_key(client: Client) -> None:
    lines = connecting(client, ADDRESS)
    shown = "\n".join([*lines.shell, *lines.code])
    assert ADDRESS.url in shown
    assert ADDRESS.key in shown
    assert ADDRESS.model in program(client, ADDRESS)
    assert not re.search("@[A-Z]+@", program(client, ADDRESS))


@each_client
def test_what_is_printed_stands_in_the_program_word_for_word(client: Client) -> None:
    lines, source = connecting(client, ADDRESS), program(client, ADDRESS).splitlines()
    assert set(lines.code) <= set(source)
    assert all(
        any(line.removeprefix("# $ ").removeprefix("// $ ") == shell for line in source) for shell in lines.shell
    )


@each_client
def test_every_package_of_a_client_is_pinned(client: Client) -> None:
    assert bool(client.packages) == (client.installer != "none")
    for package in client.packages:
        assert PINNED[client.installer].match(package), package


def test_every_program_belongs_to_a_client_and_the_other_way_round() -> None:
    assert sorted(client.program for client in CLIENTS) == sorted(file.name for file in PROGRAMS.iterdir())


def test_variables_are_read_from_the_lines_for_the_shell() -> None:
    environment = connecting(client_named("anthropic"), ADDRESS).environment
    assert environment == {"ANTHROPIC_BASE_URL": ADDRESS.url, "ANTHROPIC_API_KEY": ADDRESS.key}


def test_a_client_that_does_not_exist_is_refused_with_the_names_of_those_that_do() -> None:
    with pytest.raises(SettingsError, match=r"no client called 'lagnchain': name one of openai, .*langchain"):
        client_named("lagnchain")


def test_connect_prints_the_address_of_the_stack_as_it_is_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTSTATE_HOME", str(tmp_path))
    monkeypatch.setenv("NEXTSTATE_API_KEYS", "school:secret-of-school")
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(nextstate, ["connect", "openai", "--set", "gateway.port=8765", "--set", "policy=tutor"])
    assert shown.exit_code == 0
    assert "export OPENAI_BASE_URL=http://127.0.0.1:8765/v1\nexport OPENAI_API_KEY=secret-of-school\n" in shown.stdout
    assert 'MODEL = "tutor"' in shown.stdout


def test_openclaw_keeps_the_configuration_that_its_user_has(tmp_path: Path) -> None:
    own = tmp_path / ".openclaw" / "openclaw.json"
    own.parent.mkdir()
    own.write_text("my own")
    script = "\n".join(connecting(client_named("openclaw"), ADDRESS).shell) + "\necho $OPENCLAW_STATE_DIR"
    done = subprocess.run(["bash", "-c", script], env={"HOME": str(tmp_path)}, capture_output=True, check=True)
    assert own.read_text() == "my own"
    written = orjson.loads((Path(done.stdout.decode().strip()) / "openclaw.json").read_bytes())
    (model,) = written["models"]["providers"]["nextstate"]["models"]
    assert (model["contextWindow"], model["maxTokens"]) == (2048, 512)


def test_connect_names_the_context_that_the_engine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTSTATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(nextstate, ["connect", "openclaw", "--set", "engine.context_length=32768"]).stdout
    assert '"contextWindow": 32768' in shown
    assert '"maxTokens": 4096' in shown


def test_connect_alone_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTSTATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(nextstate, ["connect"], standalone_mode=False).stdout
    assert all(re.search(rf"^{client.name} ", shown, re.MULTILINE) for client in CLIENTS)
