"""`load_settings`: defaults < TOML file < `--set` options, and secrets from the environment.

Consumes `nextstate.toml` in the current folder, or the file that is named. Whatever is wrong comes out as one
SettingsError sentence that names the file or option, the key, and the fix.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from infra.secrets import refuse_secrets, secret_values
from infra.settings import Settings
from schemas.errors import SettingsError

DEFAULT_FILE = Path("nextstate.toml")

Table = dict[str, Any]


def load_settings(
    file: Path | None = None, options: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of this call.

    Args:    file: a TOML file; None reads `nextstate.toml` where there is one. options: `table.key=value`, the value in
             TOML or plain text.
    Raises:  SettingsError.
    """
    origin = str(file or DEFAULT_FILE)
    table = _read(file)
    refuse_secrets(table, origin)
    given = [_parse_option(option) for option in options]
    for path, value in given:
        _put(table, path, value, f"--set {'.'.join(path)}")
        refuse_secrets(table, "--set")
    for secret, value in secret_values(environment):
        _put(table, secret.path, value, secret.variable)
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        path = _setting_path(first)
        by_option = any(option_path[: len(path)] == path[: len(option_path)] for option_path, _ in given)
        raise SettingsError(_sentence(first, "--set" if by_option else origin)) from None


def _read(file: Path | None) -> Table:
    if file is None and not DEFAULT_FILE.exists():
        return {}
    path = file or DEFAULT_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}): name an existing file with --config.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}; mend that place.") from None


def _parse_option(option: str) -> tuple[tuple[str, ...], Any]:
    name, equals, text = option.partition("=")
    if not equals or not all(name.split(".")):
        raise SettingsError(f"--set {option}: write it as table.key=value, for example --set gateway.port=8001.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # plain text needs no quotes on a command line
    head, dot, rest = name.partition("kafka.client.")  # librdkafka's names have dots of their own
    return (("kafka", "client", rest) if dot and not head else tuple(name.split("."))), value


def _put(table: Table, path: tuple[str, ...], value: Any, origin: str) -> None:
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{origin}: {name} is a single setting, not a table of settings.")
    table[path[-1]] = value


def _setting_path(error: ErrorDetails) -> tuple[str, ...]:
    return _located(error)[0]


def _located(error: ErrorDetails) -> tuple[tuple[str, ...], type[BaseModel] | None]:
    """The path of a setting, and the table that holds it; None below a single setting.

    Where a table is one of several kinds, pydantic adds the chosen kind's name to the path: that is nobody's key.
    """
    path: list[str] = []
    holder: type[BaseModel] | None = None
    kinds: list[type[BaseModel]] = [Settings]
    for part in map(str, error["loc"]):
        if len(kinds) > 1:
            kinds = [kind for kind in kinds if kind.model_fields["name"].default == part]
            continue
        holder = kinds[0] if kinds else None
        field = holder.model_fields.get(part) if holder else None
        kinds = _kinds(field.annotation) if field else []
        path.append(part)
    return tuple(path), holder


def _kinds(annotation: Any) -> list[type[BaseModel]]:
    """The kinds of table that a setting may be: of `Table | None`, of a choice by name, of neither."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [kind for part in get_args(annotation) for kind in _kinds(part)]


def _sentence(error: ErrorDetails, origin: str) -> str:
    path, table = _located(error)
    setting = ".".join(path)
    if error["type"] == "extra_forbidden":
        return f"{origin}: there is no setting {setting}; {_suggestion(path, table)}"
    problem = error["msg"][0].lower() + error["msg"][1:]
    return f"{origin}: {setting} is {error['input']!r}, but {problem}; change it."


def _suggestion(path: tuple[str, ...], table: type[BaseModel] | None) -> str:
    known = list(table.model_fields) if table else []
    close = difflib.get_close_matches(path[-1], known, n=1)
    prefix = "".join(f"{name}." for name in path[:-1])
    return f"did you mean {prefix}{close[0]}?" if close else f"known here are {', '.join(sorted(known))}."
