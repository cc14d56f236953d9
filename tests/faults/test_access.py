"""Part `access` of the fault suite at its short size: who may do what, and who may not."""

from pathlib import Path

import pytest

from infra.faults.access import FAULTS
from infra.faults.access.attacks import DOORS
from infra.faults.outcome import Fault, Outcome, Trial
from infra.faults.parts import faults_of
from infra.home import Home
from infra.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture
def trial(home: Home, tmp_path: Path) -> Trial:
    settings = Settings(home=tmp_path, runtime_home=home.root)
    return Trial(settings=settings, seed=0, is_short=True, folder=tmp_path / "trial", report=print)


def run(fault: Fault, trial: Trial) -> Outcome:
    trial.folder.mkdir()
    return fault.run(trial)


def test_the_part_is_in_the_suite() -> None:
    assert faults_of("access") is FAULTS


@pytest.mark.parametrize(
    ("place", "least"),
    [(0, 3 * len(DOORS)), pytest.param(1, 2, marks=pytest.mark.long), pytest.param(2, 30, marks=pytest.mark.long)],
)
def test_what_is_promised_holds(trial: Trial, place: int, least: int) -> None:
    outcome = run(FAULTS[place], trial)
    assert outcome.holds, outcome.wrong
    assert outcome.tried >= least
