"""The command `import`: wrong files are named before anything happens."""

from pathlib import Path

import pytest
from old_chats_made import write_chats

from infra.cli import main


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["nextstate", "import", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), capsys.readouterr().err


def test_a_file_that_is_no_chat_is_named_before_others_are_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good, bad = write_chats(tmp_path / "good.jsonl", ("u:x", "a:y")), tmp_path / "bad.csv"
    bad.write_text("question,answer\n")
    code, said = told(monkeypatch, capsys, good, bad, "--set", f"home={tmp_path}")
    assert code == 2
    assert said.startswith(f"{bad} holds no conversations")
    assert said.count("\n") == 1


def test_a_policy_that_cannot_be_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = write_chats(tmp_path / "good.jsonl", ("u:x", "a:y"))
    code, said = told(monkeypatch, capsys, good, "--policy", "a b", "--set", f"home={tmp_path}")
    assert code == 2
    assert said.startswith("--policy is 'a b': use up to 64 letters")


def test_without_a_log_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, model_path: Path
) -> None:
    good = write_chats(tmp_path / "good.jsonl", ("u:x", "a:y"))
    settings = ("--set", f"home={tmp_path}", "--set", f"engine.model_path={model_path}")
    code, said = told(monkeypatch, capsys, good, *settings)
    assert code == 2
    assert "start one with nextstate up" in said
