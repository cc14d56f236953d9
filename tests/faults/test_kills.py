"""The short form of the suite's kills: each component once, under load, on the tiny model."""

from pathlib import Path

import pytest

from infra.faults.kills import FAULTS
from infra.faults.outcome import Trial
from infra.home import Home
from infra.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


def test_nothing_is_lost_when_components_die_in_turn(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    settings = Settings(home=tmp_path, runtime_home=home.root)
    outcome = FAULTS[0].run(Trial(settings=settings, seed=1, is_short=True, folder=folder, report=print))
    assert outcome.holds, outcome
    assert outcome.tried == 5, outcome.note
