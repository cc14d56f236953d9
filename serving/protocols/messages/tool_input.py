"""A tool call's arguments as an object, and back.

The protocol gives a call's arguments as a JSON object; a policy may write anything. What is no object travels in one,
under the name that Anthropic recommends for it, and comes back as it was, so that the turn is found again. An object
that looks like such a one travels in another.
"""

from typing import Any

import orjson

from schemas.messages import canonical_json

_NO_OBJECT = "INVALID_JSON"


def input_of(arguments: str) -> dict[str, Any]:
    """The object that a client gets for a call's arguments."""
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) and _wrapped(value) is None else {_NO_OBJECT: arguments}


def arguments_of(given: dict[str, Any]) -> str:
    """The arguments that an object from a client stands for."""
    wrapped = _wrapped(given)
    return canonical_json(given) if wrapped is None else wrapped


def _wrapped(given: dict[str, Any]) -> str | None:
    text = given.get(_NO_OBJECT)
    return text if isinstance(text, str) and len(given) == 1 else None
