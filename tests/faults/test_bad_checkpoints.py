"""The short size of the part `bad_checkpoints`."""

from pathlib import Path

from infra.faults.bad_checkpoints import FAULTS, NUM_SHORT_CASES
from infra.faults.outcome import Trial
from infra.settings import Settings


def test_no_bad_checkpoint_reaches_an_engine_and_each_is_told(tmp_path: Path) -> None:
    trial = Trial(settings=Settings(), seed=0, is_short=True, folder=tmp_path, report=print)
    (fault,) = FAULTS
    outcome = fault.run(trial)
    assert outcome.wrong == ()
    assert outcome.holds
    assert outcome.tried == NUM_SHORT_CASES
