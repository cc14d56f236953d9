"""A suite of hours goes on where it was ended, and its short size leaves out what has none."""

import logging
import sys
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from infra.faults import parts
from infra.faults.job import run_faults
from infra.faults.outcome import Fault, Outcome, Trial
from infra.settings import Settings


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


def run(folder: Path, *, is_short: bool) -> list[str]:
    results = run_faults(Settings(), ["made"], seed=1, is_short=is_short, out=folder, report=lambda _: None)
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


def test_what_was_tried_is_not_tried_again(tried: list[str], tmp_path: Path) -> None:
    run(tmp_path, is_short=False)
    assert run(tmp_path, is_short=False) == ["quick", "long"]
    assert tried == ["quick", "long"]


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
