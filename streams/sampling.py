"""`sampling_of` and `finish_reason_of`: how another model drew an answer and why it stopped, in our words.

A program says it in the words of the API that it uses, an instrumented one in those of its SDK. Consumes any of them,
produces what an action records. What makes no sense is left out: a turn is never lost for it.
"""

import math
from collections.abc import Mapping
from typing import Any

from schemas.events import FinishReason, Message, Sampling

_NUMBERS = ("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty")
_WHOLE_NUMBERS = ("top_k", "seed")
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")  # of one meaning, the newest word first
_INT64 = 2**63  # what JSON readers and DuckDB hold
_STOPS = ("stop", "stop_sequences")
_FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "error",  # the filter's words are not the model's
    "error": "error",
}


def sampling_of(parameters: Mapping[str, object]) -> Sampling:
    """How a request asked for its answer to be drawn, as far as it is said. Args: parameters: by their APIs' names."""
    stops = (parameters.get(name) for name in _STOPS)
    fields: dict[str, Any] = {
        **{name: _number(parameters.get(name)) for name in _NUMBERS},
        **{name: _whole_number(parameters.get(name)) for name in _WHOLE_NUMBERS},
        "max_tokens": next((limit for name in _LIMITS if (limit := _whole_number(parameters.get(name)))), None),
        "stop": next((texts for stop in stops if (texts := _texts(stop))), None),
    }
    return Sampling(**{name: value for name, value in fields.items() if value is not None})


def finish_reason_of(said: object, reply: Message) -> FinishReason:
    """Why an answer ended. Args: said: the word for it; of one that is unknown, what the reply shows."""
    by_reply: FinishReason = "tool_calls" if reply.tool_calls else "stop"
    # Vercel's SDK writes content-filter.
    return _FINISH_REASONS.get(said.lower().replace("-", "_"), by_reply) if isinstance(said, str) else by_reply


def _number(value: object) -> float | None:
    is_one = isinstance(value, float) or _whole_number(value) is not None
    return float(value) if is_one and math.isfinite(value) else None  # type: ignore[arg-type]


def _whole_number(value: object) -> int | None:
    match value:
        case bool():
            return None
        case int() if abs(value) < _INT64:
            return value
        case float() if value.is_integer() and abs(value) < _INT64:
            return int(value)
        case _:
            return None


def _texts(stop: object) -> tuple[str, ...]:
    if isinstance(stop, str):
        return (stop,)
    return tuple(one for one in stop if isinstance(one, str)) if isinstance(stop, list | tuple) else ()
