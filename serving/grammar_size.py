"""`grammar_chars`: how long the regular expression of a JSON schema may become, told before it is built.

A few hundred bytes of schema can ask for gigabytes: of properties that are all optional, each is written once for every
one that may be the first, and so on inside each of them. Pure. An upper bound of what outlines_core writes, and a test
holds it to that.
"""

from typing import Any

from schemas.messages import canonical_json

ANY_VALUE_CHARS = 14_000  # what stands for a value that may be anything
LEAF_CHARS = 60  # a string, a number ...
FORMAT_CHARS = 450  # the longest of a string's formats, an address of e-mail
FRAME_CHARS = 40  # brackets, commas and optional spaces around a part
CHARS_PER_CHAR = 4  # of a constant or a name: escaped for JSON, and once more
MAX_DEPTH = 64
NUM_REFS = 4  # references inside each other are followed so far, then left out

_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})
# Where one of these stands, the type is not read.
_INSTEAD_OF_TYPE = ("properties", "prefixItems", "anyOf", "oneOf", "allOf", "const", "enum", "$ref")
_INSIDE = {"object": "additionalProperties", "array": "items"}  # the word for what is in it, where that is a schema


def grammar_chars(schema: object) -> int:
    """An upper bound, in characters.

    Args:    schema: parsed JSON, of any form.
    Raises:  RecursionError: nested more deeply than `MAX_DEPTH`; LookupError: a reference that leads nowhere in it.
    """
    return _Measure(schema).of(schema, NUM_REFS, MAX_DEPTH)


class _Measure:
    """Of one schema. A definition is measured once for each number of references that are left."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._known: dict[tuple[str, int], int] = {}

    def of(self, schema: object, num_refs: int, depth: int) -> int:
        """Args: num_refs: references that may still be followed; depth: levels that may still come."""
        if depth == 0:
            raise RecursionError
        if not isinstance(schema, dict):
            return _constant(schema)
        parts = sum(times * (self.of(part, num_refs, depth - 1) + FRAME_CHARS) for times, part in _parts(schema))
        target = schema.get("$ref")
        return _own(schema) + parts + (self._referred(target, num_refs, depth) if isinstance(target, str) else 0)

    def _referred(self, target: str, num_refs: int, depth: int) -> int:
        if num_refs == 0:
            return FRAME_CHARS
        if (target, num_refs) not in self._known:
            self._known[target, num_refs] = self.of(self._found(target), num_refs - 1, depth - 1)
        return self._known[target, num_refs]

    def _found(self, target: str) -> object:
        """What a pointer such as "#/$defs/city" leads to; the schema's own address may stand before it."""
        place: Any = self._root
        address, _, pointer = target.partition("#")
        is_here = address == "" or (isinstance(place, dict) and address == place.get("$id"))
        if not is_here or not (pointer + "/").startswith("/"):
            raise LookupError(target)
        for step in pointer.split("/")[1:]:
            if not isinstance(place, dict) or step not in place:
                raise LookupError(target)
            place = place[step]
        return place


def _own(schema: dict[str, Any]) -> int:
    """A schema without the schemas inside it."""
    words = sum(_constant(schema[name]) for name in ("const", "enum", "pattern") if name in schema)
    names = schema.get("properties")
    words += _first_choices(schema) * sum(map(_constant, names)) if isinstance(names, dict) else 0
    shown = LEAF_CHARS + words + (FORMAT_CHARS if "format" in schema else 0)
    return shown if any(name in schema for name in _INSTEAD_OF_TYPE) else shown + _any_of_type(schema)


def _parts(schema: dict[str, Any]) -> list[tuple[int, object]]:
    """The schemas inside a schema, and how often each stands in the expression."""
    properties, times = schema.get("properties"), _first_choices(schema)
    parts = [(times, part) for part in properties.values()] if isinstance(properties, dict) else []
    for kind, name in _INSIDE.items():
        parts += [(2 * _kinds(schema).count(kind), schema[name])] if isinstance(schema.get(name), dict) else []
    for name in ("prefixItems", "anyOf", "oneOf", "allOf"):
        parts += [(1, part) for part in schema[name]] if isinstance(schema.get(name), list) else []
    return parts


def _first_choices(schema: dict[str, Any]) -> int:
    """How many properties may be the first: what stands behind the first is written for each of them."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or (
        isinstance(required, list) and any(name in properties for name in required)
    ):
        return 1
    return len(properties)


def _any_of_type(schema: dict[str, Any]) -> int:
    """What stands for a value of which the type alone is known; what is told of its inside is counted there."""
    return sum(_any_of(kind, schema) for kind in _kinds(schema))


def _kinds(schema: dict[str, Any]) -> list[object]:
    kinds = schema.get("type")
    return kinds if isinstance(kinds, list) else [kinds]


def _any_of(kind: object, schema: dict[str, Any]) -> int:
    is_told = isinstance(kind, str) and (kind in _SCALARS or isinstance(schema.get(_INSIDE.get(kind, "")), dict))
    return LEAF_CHARS if is_told else ANY_VALUE_CHARS


def _constant(value: object) -> int:
    return FRAME_CHARS + CHARS_PER_CHAR * len(canonical_json(value))
