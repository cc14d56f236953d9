"""How a method is chosen and what is refused, in one sentence each."""

import inspect
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from infra.settings_file import load_settings
from schemas.errors import SettingsError
from trainer.config import TrainerConfig
from trainer.objectives.binary_rl import BinaryRL
from trainer.objectives.hybrid import Hybrid
from trainer.objectives.opd import OPD
from trainer.objectives.registry import METHODS, ObjectiveConfig, check_vocabulary

NAMES = ["binary_rl", "opd", "combined", "hybrid", "topk_distillation", "grpo"]
methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)


def refusal(tmp_path: Path, table: str) -> str:
    file = tmp_path / "nextstate.toml"
    file.write_text(f"[trainer.objective]\n{table}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(file, (), {})
    sentence = str(caught.value).removeprefix(f"{file}: ")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_chosen_by_its_name_and_survives_being_written_down(name: str) -> None:
    config = TrainerConfig.model_validate({"objective": {"name": name}})
    assert config.objective.name == name
    assert TrainerConfig.model_validate_json(config.model_dump_json()) == config


def test_the_list_of_methods_is_that_of_the_choice() -> None:
    choice, _ = get_args(ObjectiveConfig)
    assert [get_args(member)[0] for member in get_args(choice)] == list(METHODS)
    assert [get_args(member)[1].tag for member in get_args(choice)] == NAMES
    assert [method().name for method in METHODS] == NAMES


def test_a_table_without_a_name_is_about_the_default_method() -> None:
    assert TrainerConfig.model_validate({"objective": {"top_k": 4}}).objective == Hybrid(top_k=4)
    assert TrainerConfig().objective == Hybrid()


def test_the_defaults_of_the_hybrid() -> None:
    told = {"subset": "teacher", "top_k": 20, "rl_weight": 0.5, "opd_weight": 1.0, "advantage_clip": 1.0}
    told |= {"hint_selection": "sequence_optimal", "baseline": "batch", "clip_low": 0.2, "clip_high": 0.28}
    told |= {"kl_weight": 0.0, "stale": "ratio", "stale_bound": 2, "stale_cap": 2.0, "name": "hybrid"}
    assert Hybrid().model_dump() == told


@pytest.mark.parametrize("table", ['name = "ppo"', "name = 1", "name = []"])
def test_an_unknown_method_is_refused_with_the_known_ones(tmp_path: Path, table: str) -> None:
    assert f"its name must be one of {', '.join(NAMES)}" in refusal(tmp_path, table)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("top_k = 0", "trainer.objective.top_k is 0, but input should be greater than or equal to 1; change it."),
        (
            'name = "combined"\nopd_weight = -1',
            "trainer.objective.opd_weight is -1, but input should be greater than or equal to 0; change it.",
        ),
        (
            'name = "combined"\nrl_weight = 0\nopd_weight = 0',
            "trainer.objective.rl_weight and opd_weight are both 0, so nothing would train; set one above 0.",
        ),
        (
            'name = "opd"\nstale = "truncate"',
            "trainer.objective.stale is 'truncate', but input should be 'ratio' or 'drop'; change it.",
        ),
        (
            'name = "grpo"\nclip_lo = 0.1',
            "there is no setting trainer.objective.clip_lo; did you mean trainer.objective.clip_low?",
        ),
    ],
)
def test_a_bad_setting_of_a_method_is_named_as_it_stands_in_the_file(tmp_path: Path, table: str, sentence: str) -> None:
    assert refusal(tmp_path, table) == sentence


@methods
def test_no_weight_or_bound_may_be_negative_or_infinite(method: type[BaseModel]) -> None:
    numbers = [name for name, field in method.model_fields.items() if field.annotation in (int, float)]
    assert numbers
    for name in numbers:
        with pytest.raises(ValidationError, match=name):
            method.model_validate({name: -0.5})
        with pytest.raises(ValidationError, match=name):
            method.model_validate({name: float("inf")})


def test_a_top_k_beyond_the_vocabulary_is_refused_before_anything_runs() -> None:
    check_vocabulary(Hybrid(top_k=64), 64)
    check_vocabulary(BinaryRL(), 1)
    check_vocabulary(OPD(), 1)
    for method in METHODS:
        if "top_k" in method.model_fields:
            with pytest.raises(SettingsError, match=r"^trainer\.objective\.top_k is 65, but the model has 64 tokens"):
                check_vocabulary(method(top_k=65), 64)


@methods
def test_every_setting_of_a_method_is_explained_where_it_is_defined(method: type[BaseModel]) -> None:
    for part in method.__mro__:
        if issubclass(part, BaseModel) and part is not BaseModel:
            lines = inspect.getsource(part).splitlines()
            for name in part.__annotations__.keys() & (part.model_fields.keys() - {"name", "model_config"}):
                (number,) = (place for place, line in enumerate(lines) if line.strip().startswith(f"{name}:"))
                assert any("#" in line for line in lines[number - 1 : number + 1]), f"{part.__name__}.{name}"


@methods
def test_every_method_explains_itself(method: type[BaseModel]) -> None:
    text = method.__doc__ or ""
    assert [word for word in ("L_t =", "naive form", "Shapes:", "Source:") if word not in text] == []
    assert method.model_config.get("frozen")
    assert method.model_config.get("extra") == "forbid"
