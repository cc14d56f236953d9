"""`load_settings`: defaults < TOML file < `--set` options, and secrets from the environment.

Consumes `nextstate.toml` in the current folder, or the file that is named. Whatever is wrong comes out as one
SettingsError sentence that names the file or option, the key, and the fix.
"""

import difflib
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from infra.secrets import SECRETS, refuse_secrets, secret_values
from infra.settings import Settings
from schemas.errors import SettingsError
from streams.masking import mask_text

DEFAULT_FILE = Path("nextstate.toml")

_INT64 = 2**63  # what the recorded run can hold
_SHOWN_CHARS = 80  # of a value or key that is refused
_KEY_CHARS = 8  # a shorter word is no key, and may be any word of a sentence

Table = dict[str, Any]


def load_settings(
    file: Path | None = None, options: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of this call.

    Args:    file: a TOML file; None reads `nextstate.toml` where there is one. options: `table.key=value`, the value in
             TOML or plain text.
    Raises:  SettingsError: in a sentence that holds no secret of the environment, wherever else it stands.
    """
    try:
        return _loaded(file, options, environment)
    except SettingsError as error:
        raise SettingsError(mask_text(str(error), _hidden(environment))) from None


def _hidden(environment: Mapping[str, str]) -> Iterator[str]:
    """Each secret as it is given, and the keys in a list of them."""
    for secret in SECRETS:
        value = environment.get(secret.variable, "")
        yield value
        yield from (key for item in value.split(",") if len(key := item.rpartition(":")[2]) >= _KEY_CHARS)


def _loaded(file: Path | None, options: Sequence[str], environment: Mapping[str, str]) -> Settings:
    origin = str(file or DEFAULT_FILE)
    table = _read(file)
    refuse_secrets(table, origin)
    given = [_parse_option(option) for option in options]
    for path, value in given:
        _put(table, path, value, f"--set {'.'.join(path)}")
        refuse_secrets(table, "--set")
    for secret, value in secret_values(environment):
        for text in (*value, *value.values()) if isinstance(value, dict) else (value,):
            _refuse_unrecordable(text, (secret.variable,))
        _put(table, secret.path, value, secret.variable)
    _refuse_unrecordable(table, ())
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
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of numbers with thousands of digits
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise SettingsError(f"{path} is not valid TOML: {problem}; mend that place.") from None


def _parse_option(option: str) -> tuple[tuple[str, ...], Any]:
    name, equals, text = option.partition("=")
    if not equals or not all(name.split(".")):
        raise SettingsError(
            f"--set {_shown(option)}: write it as table.key=value, for example --set gateway.port=8001."
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text  # plain text needs no quotes on a command line
    head, dot, rest = name.partition("kafka.client.")  # librdkafka's names have dots of their own
    return (("kafka", "client", rest) if dot and not head else tuple(name.split("."))), value


def _put(table: Table, path: tuple[str, ...], value: Any, origin: str) -> None:
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{_named(origin)}: {_shown(name)} is a single setting, not a table of settings.")
    table[path[-1]] = value


def _refuse_unrecordable(value: Any, path: tuple[str, ...]) -> None:
    """What no JSON can hold: the event that records this run could not, and most of it could not be used either.

    Raises:  SettingsError: it does not repeat the value, which may be a secret.
    """
    match value:
        case dict():
            for name, inner in value.items():
                _refuse_unrecordable(name, path)
                _refuse_unrecordable(inner, (*path, name))
        case list():
            for inner in value:
                _refuse_unrecordable(inner, path)
        case int() if not -_INT64 <= value < _INT64:
            raise SettingsError(f"{_place(path)} is a number of more than 64 bits; write a smaller one.")
        case float() if not math.isfinite(value):
            raise SettingsError(f"{_place(path)} is {value}; write a number that is finite.")
        case str() if not value.isascii() and any(map(_is_surrogate, value)):
            raise SettingsError(f"{_place(path)} holds bytes that are no UTF-8; write it as UTF-8.")


def _is_surrogate(letter: str) -> bool:
    return "\ud800" <= letter <= "\udfff"  # what Python makes of such bytes on a command line


def _place(path: tuple[str, ...]) -> str:
    return _shown(".".join(path).encode("utf-8", "backslashreplace").decode())


def _named(origin: str) -> str:
    """Where a setting came from: a path is shown whole, however long, or nobody finds the file."""
    return origin if origin.isprintable() else repr(origin)


def _shown(text: str) -> str:
    """What somebody wrote, in a sentence: as it is where it is short and plain."""
    is_plain = text.isprintable() and len(text) <= _SHOWN_CHARS
    return text if is_plain else repr(text[:_SHOWN_CHARS]) + ("..." if len(text) > _SHOWN_CHARS else "")


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
    setting, origin = _shown(".".join(path)), _named(origin)
    if error["type"] == "extra_forbidden":
        return f"{origin}: there is no setting {setting}; {_suggestion(path, table)}"
    problem = error["msg"][0].lower() + error["msg"][1:]
    given = repr(error["input"])
    given = given if len(given) <= _SHOWN_CHARS else f"{given[:_SHOWN_CHARS]}..."
    return f"{origin}: {setting} is {given}, but {problem}; change it."


def _suggestion(path: tuple[str, ...], table: type[BaseModel] | None) -> str:
    known = list(table.model_fields) if table else []
    close = difflib.get_close_matches(path[-1], known, n=1)
    prefix = "".join(f"{name}." for name in path[:-1])
    return f"did you mean {prefix}{close[0]}?" if close else f"known here are {', '.join(sorted(known))}."
