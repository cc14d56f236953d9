"""The trainer's settings: strict, and light to read."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from trainer.config import TrainerConfig


def test_reading_the_settings_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "pyarrow")
    code = f"import sys, trainer.config; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_unknown_setting_is_refused_at_every_depth() -> None:
    for settings in ({"learning_rat": 1e-4}, {"objective": {"name": "hybrid", "kl": 0.1}}):
        with pytest.raises(ValidationError, match="Extra inputs"):
            TrainerConfig.model_validate(settings)


def test_a_method_is_chosen_by_name_with_its_own_settings() -> None:
    paper = {"name": "hybrid", "subset": "student", "top_k": 4}
    config = TrainerConfig.model_validate({"objective": paper})
    assert (config.objective.subset, config.objective.top_k, config.objective.opd_weight) == ("student", 4, 1.0)
