"""Steady load, for a moment: nothing is started again, no handle stays open, everything that is due gets done."""

from pathlib import Path

import pytest

from infra.faults.outcome import Trial
from infra.faults.soak import COMPONENTS, try_soak
from infra.home import Home
from infra.settings import Settings

pytestmark = [pytest.mark.long, pytest.mark.kafka, pytest.mark.timeout(600)]


def test_at_steady_load_nothing_fails_falls_behind_or_stays_open(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "soak"
    folder.mkdir()
    settings = Settings(runtime_home=home.root)
    outcome = try_soak(Trial(settings=settings, seed=7, is_short=True, folder=folder, report=print))
    assert outcome.holds, outcome
    assert outcome.failed_requests == 0
    lines = (tmp_path / "soak.csv").read_text().splitlines()
    assert {line.split(",")[2] for line in lines if ",rss_bytes," in line} == set(COMPONENTS)
