"""The short size of the part `bad_checkpoints`; and that it is not content with any refusal."""

from dataclasses import replace
from pathlib import Path

import pytest

from infra.faults.bad_checkpoints import FAULTS, NUM_SHORT_CASES
from infra.faults.broken_checkpoints import KINDS, Kind
from infra.faults.outcome import Outcome, Trial
from infra.settings import Settings


def run(folder: Path) -> Outcome:
    (fault,) = FAULTS
    return fault.run(Trial(settings=Settings(), seed=0, is_short=True, folder=folder, report=print))


def test_no_bad_checkpoint_reaches_an_engine_and_each_is_told(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    assert outcome.wrong == ()
    assert outcome.holds
    assert outcome.tried == NUM_SHORT_CASES


def test_a_refusal_for_another_reason_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where NaN is written past the manifest: its digest is found, and what looks for NaN is never asked."""
    past_the_manifest = Kind(KINDS["bit flip"].spoil, KINDS["NaN"].reasons)
    monkeypatch.setattr("infra.faults.bad_checkpoints.KINDS", {"NaN": past_the_manifest})
    outcome = run(tmp_path)
    assert outcome.lost == len(outcome.wrong) == NUM_SHORT_CASES
    assert outcome.wrong[0].startswith("A NaN (case 0) was refused for another reason: ")
    assert KINDS["bit flip"].explains(outcome.wrong[0])


def test_every_kind_is_held_to_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unheard_of = {name: replace(kind, reasons=("unheard of",)) for name, kind in KINDS.items()}
    monkeypatch.setattr("infra.faults.bad_checkpoints.KINDS", unheard_of)
    wrong = run(tmp_path).wrong
    assert [sentence.partition(" (case")[0].removeprefix("A ") for sentence in wrong] == [*KINDS, *KINDS]
