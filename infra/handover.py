"""`hand_over` and `take_over`: how one run's resolved settings reach its component processes.

A file in the home folder carries everything but the secrets; those stay in the environment, which children inherit.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import orjson

from infra.home import Home
from infra.secrets import secret_values, without_secrets
from infra.settings import Settings


def hand_over(settings: Settings, file: Path) -> None:
    """Writes the file."""
    file.write_bytes(orjson.dumps(without_secrets(settings.model_dump(mode="json")), option=orjson.OPT_INDENT_2))


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
