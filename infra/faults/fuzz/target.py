"""`Target`: one door of the product that input comes through; `Answer`: what it does with one.

A target knows the law of its door: what it may answer, and that what it took can be written and read again. Whatever
else is raised inside, from our code or a library, is a crash.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from infra.faults.fuzz.case import Case

MAX_REASON_CHARS = 1000  # of a sentence for a person; one that repeats the input is none


class WrongError(Exception):
    """The product answered otherwise than it may."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an input. `reasons`: the sentences in which it, or parts of it, were refused."""

    is_taken: bool
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What inputs are made from. `mutators`: of a body of this kind, beside those of any bytes."""

    seeds: Sequence[Case]  # valid ones
    mutators: Sequence[Callable[[bytes, Random], bytes]] = ()
    heads: Sequence[dict[str, Any]] = field(default_factory=tuple)  # odd heads, to put before any body


class Target(Protocol):
    """One door."""

    material: Material

    def fresh(self) -> None:
        """Forget every input that was tried."""

    def attempt(self, case: Case) -> Answer:
        """Try an input.

        Raises:  WrongError: an answer that may not be; anything else: a crash.
        """


def check_reason(reason: str) -> None:
    """Whether a refusal tells a person why.

    Raises:  WrongError: it does not.
    """
    trouble = None
    if not reason.strip():
        trouble = "no reason"
    elif "Traceback (most recent call last)" in reason:
        trouble = "a traceback"
    elif "\n" in reason or "\r" in reason:
        trouble = "a reason of several lines"
    elif len(reason) > MAX_REASON_CHARS:
        trouble = f"a reason of {len(reason)} characters"
    elif " " not in reason.strip():
        trouble = "a reason that is no sentence"
    elif any(0xD800 <= ord(letter) <= 0xDFFF for letter in reason):
        trouble = "a reason that no JSON can hold"
    if trouble:
        raise WrongError(f"refused with {trouble}: {reason[:120]!r}")
