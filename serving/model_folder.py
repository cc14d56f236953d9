"""`vocab_size`: how many token ids a Hugging Face model folder has weights for.

The tokenizer may know more tokens, or fewer, than the embedding has rows; an id without a row ends
the engine's process.
"""

import functools
from pathlib import Path

import orjson

from schemas.errors import SettingsError


@functools.cache
def vocab_size(model_path: Path) -> int:
    """`vocab_size` of the folder's `config.json`; of the language part where the model has several.

    Raises:  SettingsError: the folder is no model folder.
    """
    try:
        config = orjson.loads((model_path / "config.json").read_bytes())
        return int(config.get("text_config", config)["vocab_size"])
    except (OSError, orjson.JSONDecodeError, KeyError) as error:
        message = f"{model_path} is no Hugging Face model folder ({error}); set engine.model_path to one."
        raise SettingsError(message) from error
