import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cli import main, nextstate


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
    for command in (
        "demo",
        "up",
        "down",
        "status",
        "chat",
        "query",
        "lineage",
        "audit",
        "judge",
        "replay",
        "prepare",
        "version",
    ):
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
        (("audit",), "start one with nextstate up, or set kafka.bootstrap_servers.\n"),
        (("replay",), "start one with nextstate up, or set kafka.bootstrap_servers.\n"),
        (("replay", "--since", "noon"), "write 2026-01-31, or 2026-01-31T12:00:00 (UTC).\n"),
        (("rejudge", "--as", "stern"), "start one with nextstate up, or set kafka.bootstrap_servers.\n"),
        (("rejudge", "--as", "a b"), "which is none: use few letters, digits, _ and -.\n"),
        (("train", "--from", "stern"), "start one with nextstate up, or set kafka.bootstrap_servers.\n"),
        (("demo", "--through", "crewai"), "talk through openai, its SDK, or one of openai-agents, pydantic-ai.\n"),
        (("judge", "none.jsonl"), "name an existing JSONL file.\n"),
        (("status", "--config", "none.toml"), "name an existing file with --config.\n"),
        (("status", "--set", "broker.port=65536"), "should be less than or equal to 65535; change it.\n"),
        (("prepare", "--set", "engine.model_path=none"), "set engine.model_path to one.\n"),
        (
            ("status", "--set", "home=/dev/null/home"),
            "/dev/null/home/supervisor.lock cannot be used (Not a directory): mend that and try again.\n",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.endswith(sentence)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(28, "No space left on device", "run.json"),
            "run.json cannot be used (No space left on device): make room on that disk.",
        ),
        (
            PermissionError(13, "Permission denied", "/x"),
            "/x cannot be used (Permission denied): let this user write there, or name another home in NEXTSTATE_HOME.",
        ),
        (TimeoutError(), "The operating system refused something (TimeoutError): mend that and try again."),
    ],
)
def test_what_the_system_refuses_is_a_sentence_with_its_place(
    error: OSError, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:
        raise error

    monkeypatch.setattr(nextstate, "main", refuse)
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err == f"{sentence}\n"


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
