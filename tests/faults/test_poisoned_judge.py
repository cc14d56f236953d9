"""The short size of the part `poisoned_judge`."""

from pathlib import Path

from infra.faults.outcome import Trial
from infra.faults.poisoned_judge import FAULTS
from infra.settings import Settings


def test_what_serves_stays_near_the_base_model_whatever_the_judge_rewards(tmp_path: Path) -> None:
    trial = Trial(settings=Settings(), seed=0, is_short=True, folder=tmp_path, report=print)
    (fault,) = FAULTS
    outcome = fault.run(trial)
    assert outcome.holds, outcome
    assert outcome.tried > 0
