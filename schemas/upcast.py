"""Every event version ever written stays decodable: a chain of pure functions from old values to today's.

`UPCASTERS["nextstate.action.taken.v1"]` would turn a v1 value into (type, value) of v2. There is one version of every
event so far, so the table is empty; a golden sample per version in tests/ keeps it honest.
"""

from collections.abc import Callable
from typing import Any

Value = dict[str, Any]
UPCASTERS: dict[str, Callable[[Value], tuple[str, Value]]] = {}


def upcast(event_type: str, value: Value) -> tuple[str, Value]:
    """The value in its newest version; unchanged where it already is."""
    while (step := UPCASTERS.get(event_type)) is not None:
        event_type, value = step(value)
    return event_type, value
