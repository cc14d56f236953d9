import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, folder: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "HOME": str(folder)},
    )


def test_help_lists_the_commands(tmp_path: Path) -> None:
    done = run("--help", folder=tmp_path)
    assert done.returncode == 0
    for command in ("demo", "up", "down", "status", "chat", "query", "lineage", "judge", "prepare", "version"):
        assert f"\n  {command} " in done.stdout


def test_version_is_the_packages(tmp_path: Path) -> None:
    assert run("version", folder=tmp_path).stdout == "0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("status", "--set", "gateway.prot=1"),
            "--set: there is no setting gateway.prot; did you mean gateway.port?\n",
        ),
        (("query", "SELECT 1"), "start one with nextstate up, or set kafka.bootstrap_servers.\n"),
        (("lineage", "x"), "start one with nextstate up, or set kafka.bootstrap_servers.\n"),
        (("judge", "none.jsonl"), "name an existing JSONL file.\n"),
        (("status", "--config", "none.toml"), "name an existing file with --config.\n"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.endswith(sentence)
    assert done.stderr.count("\n") == 1


def test_bad_usage_is_exit_code_2(tmp_path: Path) -> None:
    done = run("statu", folder=tmp_path)
    assert done.returncode == 2
    assert "No such command 'statu'" in done.stderr


def test_status_without_a_stack_fails_the_check(tmp_path: Path) -> None:
    done = run("status", "--json", folder=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"running": False, "home": str(tmp_path / ".nextstate")}


def test_down_without_a_stack_says_so(tmp_path: Path) -> None:
    done = run("down", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"No stack runs in {tmp_path / '.nextstate'}.\n"


def test_chat_without_a_gateway_says_how_to_start_one(tmp_path: Path) -> None:
    done = run("chat", "--set", "gateway.port=9", folder=tmp_path, stdin="hello\n")
    assert done.returncode == 2
    assert done.stderr == "No gateway answers at http://127.0.0.1:9: start one with nextstate up.\n"
