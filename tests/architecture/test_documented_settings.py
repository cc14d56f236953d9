"""Every setting says, beside it, what it is."""

import inspect
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from infra.settings import Settings


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from _models(field.annotation)


@pytest.mark.parametrize("model", list(_models(Settings)), ids=lambda model: model.__name__)
def test_every_setting_is_documented_and_the_model_is_strict(model: type[BaseModel]) -> None:
    assert model.model_config.get("frozen")
    assert model.model_config.get("extra") == "forbid"
    assert list(_undocumented(model)) == []


def _undocumented(model: type[BaseModel]) -> Iterator[str]:
    """Names of own fields without a comment on their lines or on the line above, but for tables and what is fixed."""
    lines = inspect.getsource(model).splitlines()
    starts = {name: _line_of(name, lines) for name in model.__annotations__ if name in model.model_fields}
    ends = sorted([*starts.values(), len(lines)])
    for name, start in starts.items():
        end = next(end for end in ends if end > start)
        annotation = model.model_fields[name].annotation
        is_table = inspect.isclass(annotation) and issubclass(annotation, BaseModel)
        is_fixed = get_origin(annotation) is Literal and len(get_args(annotation)) == 1
        if not is_table and not is_fixed and not any("#" in line for line in lines[start - 1 : end]):
            yield name


def _line_of(name: str, lines: list[str]) -> int:
    return next(number for number, line in enumerate(lines) if line.strip().startswith(f"{name}:"))
