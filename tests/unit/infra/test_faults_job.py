"""A suite of hours goes on where it was ended; what did not hold is tried again, and any row alone."""

import logging
import sys
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli import nextstate
from infra.commands.faults import list_parts
from infra.faults import parts
from infra.faults.job import run_faults
from infra.faults.outcome import Fault, Outcome, Trial
from infra.settings import Settings
from schemas.errors import SettingsError


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def fault(name: str, **facts: Any) -> Fault:
        def run(trial: Trial) -> Outcome:
            names.append(name)
            return Outcome(tried=1, lost=0, twice=0)

        return Fault(name=name, run=run, **facts)

    made = ModuleType("infra.faults.made")
    made.FAULTS = (fault("quick"), fault("long", has_short=False))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "infra.faults.made", made)
    monkeypatch.setattr(parts, "PARTS", {"made": "what a test made"})
    return names


def run(folder: Path, *, is_short: bool, only: str = "") -> list[str]:
    results = run_faults(Settings(), ["made"], only=only, seed=1, is_short=is_short, out=folder, report=lambda _: None)
    return [result.fault for result in results]


def test_what_has_no_short_size_is_tried_at_full_size_only(tried: list[str], tmp_path: Path) -> None:
    assert run(tmp_path, is_short=True) == tried == ["quick"]
    assert run(tmp_path, is_short=False) == ["quick", "long"]
    assert tried == ["quick", "quick", "long"]


def test_what_other_code_has_shown_is_tried_again(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, is_short=True)
    monkeypatch.setattr("infra.faults.job.code_digest", lambda: "of another release")
    assert run(tmp_path, is_short=True) == ["quick"]
    assert tried == ["quick", "quick"]


def test_what_held_is_not_tried_again(tried: list[str], tmp_path: Path) -> None:
    run(tmp_path, is_short=False)
    assert run(tmp_path, is_short=False) == ["quick", "long"]
    assert tried == ["quick", "long"]


@pytest.mark.parametrize(
    "failure",
    [
        Outcome(tried=1, lost=1, twice=0),
        Outcome(tried=0, lost=0, twice=0),
        Outcome(tried=1, lost=0, twice=0, wrong=("It stayed down.",)),
    ],
    ids=["lost", "never struck", "wrong"],
)
def test_what_did_not_hold_is_tried_again_until_it_holds(
    failure: Outcome, tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = [failure, failure, Outcome(tried=1, lost=0, twice=0)]
    flaky = Fault(name="flaky", run=lambda _: outcomes.pop(0))
    made = sys.modules["infra.faults.made"]
    monkeypatch.setattr(made, "FAULTS", (*made.FAULTS, flaky))
    for left in (2, 1, 0, 0):
        assert run(tmp_path, is_short=True) == ["quick", "flaky"]
        assert len(outcomes) == left
    assert tried == ["quick"]


def test_only_the_rows_with_a_text_in_their_name_are_tried_and_shown(tried: list[str], tmp_path: Path) -> None:
    assert run(tmp_path, is_short=False, only="QUI") == tried == ["quick"]
    assert run(tmp_path, is_short=False, only="long") == ["long"]
    assert run(tmp_path, is_short=False) == ["quick", "long"]
    assert tried == ["quick", "long"]


@pytest.mark.parametrize(
    ("only", "is_short", "rows"), [("slow", False, "row of made"), ("long", True, "row of made with a short size")]
)
def test_a_text_in_no_rows_name_is_said(only: str, is_short: bool, rows: str, tried: list[str], tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        run(tmp_path, is_short=is_short, only=only)
    sentence = f"No {rows} has {only!r} in its name; `nextstate faults --list` shows the parts."
    assert str(refusal.value) == sentence
    assert not tried


def test_the_command_tries_one_row_alone(tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTSTATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(nextstate, ["faults", "made", "--only", "Quick", "--seed", "7", "--short"])
    assert done.exception is None
    assert "| quick | 7 |" in done.stdout
    assert "long" not in done.stdout
    assert tried == ["quick"]


def test_the_list_says_what_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    list_parts()
    text = capsys.readouterr().out
    assert all(f"{name} " in text for name in parts.PARTS)
    assert "a row" in text
    assert "45 minutes" in text


def test_what_a_fault_logs_lies_in_its_folder_and_not_on_the_terminal(
    tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_loud(_: Trial) -> Outcome:
        logging.getLogger("serving").warning("version 4 is refused")
        return Outcome(tried=1, lost=1, twice=0)

    terminal, root = StringIO(), logging.getLogger()
    handlers = [logging.StreamHandler(terminal)]
    monkeypatch.setattr(root, "handlers", handlers)
    monkeypatch.setattr(sys.modules["infra.faults.made"], "FAULTS", (Fault(name="loud", run=run_loud),))
    assert run(tmp_path, is_short=True) == ["loud"]
    assert (tmp_path / "work/made/loud/suite.log").read_text().endswith(" WARNING serving: version 4 is refused\n")
    assert not terminal.getvalue()
    assert root.handlers is handlers
