r"""`Case`: one input as bytes, so that one mutator, one fuzzer and one kind of file serve every target.

    {"path":"/v1/feedback","headers":{"x-session-id":"s"}}\n{"thumb":"up", ...

The head is one line of JSON: what stands around a body (a method, headers, options). Bytes whose first line is none
are a body with an empty head, so that everything that a fuzzer makes is an input.
"""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """One input. Each target says what its head holds."""

    head: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""

    def packed(self) -> bytes:
        """As bytes."""
        return json.dumps(self.head).encode() + b"\n" + self.body

    def text(self, name: str, default: str = "") -> str:
        """A text of the head; the default where it is none."""
        found = self.head.get(name)
        return found if isinstance(found, str) else default

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Names with their texts, of the head; whatever is none is left out."""
        found = self.head.get(name)
        given = found.items() if isinstance(found, dict) else ()
        return [(key, value) for key, value in given if isinstance(value, str)]


def unpack(data: bytes) -> Case:
    """The input that some bytes are."""
    first, _, rest = data.partition(b"\n")
    try:
        head = json.loads(first)
    except (ValueError, RecursionError):
        return Case(body=data)
    return Case(head, rest) if isinstance(head, dict) else Case(body=data)
