"""The engine is killed, hangs and is frozen while people talk: nobody is told two things, and nothing broken trains."""

from pathlib import Path

import pytest

from infra.faults.engine_faults import WAYS, try_engine
from infra.faults.outcome import Trial
from infra.home import Home
from infra.settings import Settings

pytestmark = [pytest.mark.long, pytest.mark.kafka, pytest.mark.timeout(900)]


def test_an_engine_may_fail_in_every_way_under_load(home: Home, tmp_path: Path) -> None:
    settings = Settings(runtime_home=home.root)
    trial = Trial(settings=settings, seed=7, is_short=True, folder=tmp_path, report=print)
    outcome = try_engine(trial, *WAYS)
    assert outcome.holds, outcome
    assert outcome.tried == 9  # three ways to be killed, twice each, and three to be silent
    assert outcome.failed_requests, "nobody was in mid-stream when it was killed there"
    assert len(outcome.recovery_s) == outcome.tried
