"""`tree`: attributes whose names hold a path (`prompt.0.role`) as the lists and objects that they stand for.

Spans of the flat spellings have one attribute per word. Their processes keep 128 attributes of a span, unless told
otherwise, and let go of the others without a trace in what is left: what is not whole must not be taken for a shorter
conversation.
"""

from typing import Any

from serving.otlp.model_call import SpanRefusedError
from serving.otlp.spans import Attributes, Span

_MAX_DEPTH = 16  # the longest path of a known spelling has 8 steps


def tree(span: Span, prefix: str) -> list[Any]:
    """What is listed under `prefix.0`, `prefix.1` ...

    Raises:  SpanRefusedError: a number is missing, or the process left attributes out (truncated); a path that is no
             path (unreadable).
    """
    if span.num_dropped:
        message = (
            f"its process left out {span.num_dropped} attributes, so the conversation is not whole; set "
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=100000 there"
        )
        raise SpanRefusedError("truncated", message)
    root: dict[str, Any] = {}
    for key, value in span.attributes.items():
        if key.startswith(f"{prefix}."):
            _put(root, key, key[len(prefix) + 1 :].split("."), value)
    listed = _with_lists(root)
    return listed if isinstance(listed, list) else []


def has(attributes: Attributes, prefix: str) -> bool:
    """Whether something is listed under a prefix."""
    return any(key.startswith(f"{prefix}.") for key in attributes)


def _put(root: dict[str, Any], key: str, path: list[str], value: object) -> None:
    node = root
    for step in path[:-1]:
        node = node.setdefault(step, {})
        if not isinstance(node, dict):
            break
    if not isinstance(node, dict) or isinstance(node.get(path[-1]), dict) or len(path) > _MAX_DEPTH:
        raise SpanRefusedError("unreadable", f"the attribute {key[:80]!r} contradicts another one")
    node[path[-1]] = value


def _with_lists(node: object) -> object:
    if not isinstance(node, dict):
        return node
    values = {step: _with_lists(inner) for step, inner in node.items()}
    if not all(step.isdecimal() and step.isascii() for step in values):
        return values
    places = sorted(values, key=lambda step: (len(step), step))
    if places != [str(place) for place in range(len(places))]:
        raise SpanRefusedError("truncated", f"of its numbered attributes number {_gap(places)} is missing")
    return [values[place] for place in places]


def _gap(places: list[str]) -> int:
    return next(place for place in range(len(places) + 1) if str(place) not in places)
