"""`refuse_other` and its like: what a program gave its recorder is of the type that it should be.

A recorder takes whatever it is given, and looks at it when nobody waits; what is of another type would fail somewhere
in the middle, in words that no user of it knows.
"""

from collections.abc import Sequence
from typing import Any

from schemas.errors import RejectedError

_INT64 = 2**63  # what JSON readers and DuckDB hold


def refuse_other(name: str, value: object, *kinds: type) -> None:
    """Raises RejectedError for a value of another type, a text or a whole number that no record holds."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise RejectedError(f"{name} is of type {type(value).__name__}; give {wanted}.")
    if isinstance(value, str) and value != whole(value):
        raise RejectedError(f"{name} holds half a character (a lone surrogate); give whole text.")
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise RejectedError(f"{name} is a number of more than 64 bits; give a smaller one.")


def whole(text: str) -> str:
    """A text that any record holds: two halves of a character are put together, and one alone becomes U+FFFD.

    Programs have such halves from JSON of JavaScript's, which cuts an emoji in two, and from names of files.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def refuse_unlisted(name: str, value: object, values: Sequence[object]) -> None:
    """Raises RejectedError for a value that is none of these; True and 1.0 are not 1 here."""
    if isinstance(value, bool | float) or value not in values:
        raise RejectedError(f"{name} is {repr(value)[:40]}; give one of {', '.join(map(repr, values))}.")


def ends_of(scale: object) -> Sequence[Any]:
    """The worst and the best rating of a scale; None both where there is none.

    Raises:  RejectedError: it is no pair.
    """
    if scale is None:
        return (None, None)
    if not isinstance(scale, tuple | list) or len(scale) != 2:
        raise RejectedError("scale is no pair; give the worst and the best rating, for example (1, 5).")
    return scale
