"""`vocab_size`: how many token ids a Hugging Face model folder has weights for; `read_json`: one of its JSON files.

`outside_vocabulary` finds the ids that have none. The tokenizer may know more tokens, or fewer, than the embedding has
rows; an id without a row ends the engine's process.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from schemas.errors import SettingsError


@functools.cache
def vocab_size(model_path: Path) -> int:
    """`vocab_size` of the folder's `config.json`; of the language part where the model has several.

    Raises:  SettingsError: the folder is no model folder.
    """
    config = read_json(model_path, "config.json")
    try:
        return int(config.get("text_config", config)["vocab_size"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise no_model_folder(model_path, "its config.json has no usable vocab_size") from error


def outside_vocabulary(ids: Sequence[int], size: int) -> int | None:
    """The first id that has no row among `size`; None where all have one, which costs no loop in Python."""
    if not ids or (min(ids) >= 0 and max(ids) < size):
        return None
    return next(id_ for id_ in ids if not 0 <= id_ < size)


def read_json(model_path: Path, name: str) -> dict[str, Any]:
    """The object in one JSON file of the folder.

    Raises:  SettingsError: there is none.
    """
    try:
        value = orjson.loads((model_path / name).read_bytes())
    except OSError as error:
        raise no_model_folder(model_path, f"{name}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise no_model_folder(model_path, f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise no_model_folder(model_path, f"{name} holds no object")
    return value


def no_model_folder(model_path: Path, reason: str) -> SettingsError:
    """The error of a folder that cannot be served, with the fix."""
    return SettingsError(f"{model_path} is no Hugging Face model folder ({reason}); set engine.model_path to one.")
