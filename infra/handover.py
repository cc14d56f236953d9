"""`hand_over` and `take_over`: how one run's resolved settings reach its component processes.

A file in the home folder carries everything but the secrets; those reach a component in its environment, and only those
that it needs (`secrets_of`). Keys for the gateway go there as digests: nobody but their owners has them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import orjson

from infra.home import Home
from infra.secrets import SECRETS, as_variable, lookup, secret_values, without_secrets
from infra.settings import Settings

_OWNER_ONLY = 0o600  # a judge's url may hold a password
# The tables, or single settings, whose secrets a component works with.
_NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "kafka": (),
        "engine": (("engine",),),
        "gateway": (("gateway",), ("engine", "api_key"), ("kafka",)),
        "processors": (("judge",), ("hints",), ("kafka",)),
        "trainer": (("kafka",),),
        "reloader": (("engine",), ("kafka",)),
        "archiver": (("kafka",),),
    }
)


def hand_over(settings: Settings, file: Path) -> None:
    """Writes the file."""
    file.touch(mode=_OWNER_ONLY)
    file.write_bytes(orjson.dumps(without_secrets(settings.model_dump(mode="json")), option=orjson.OPT_INDENT_2))


def secrets_of(component: str, settings: Settings) -> dict[str, str]:
    """The variables of a component's secrets; those that it does not need are empty, whatever ours are."""
    table = settings.model_dump(mode="json")
    needs = _NEEDS[component]
    return {
        secret.variable: as_variable(secret, lookup(table, secret.path))
        if any(secret.path[: len(need)] == need for need in needs)
        else ""
        for secret in SECRETS
    }


def take_over(file: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the run that wrote the file."""
    table = orjson.loads(file.read_bytes())
    for secret, value in secret_values(environment):
        place = table
        for name in secret.path[:-1]:
            place = place[name]
        place[secret.path[-1]] = value
    return Settings.model_validate(table)


def last_settings(settings: Settings) -> Settings:
    """The settings of the stack that ran in this home last; these, where none has."""
    handed_over = Home(settings.home).settings_file
    return take_over(handed_over) if handed_over.exists() else settings
