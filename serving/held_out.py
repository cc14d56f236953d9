"""`HeldOut`: a question that no user asked, which every version must answer before it may serve.

Consumes the file that `gate.questions` names, or has eight of its own. `wanted` is known where somebody wrote it down:
a regular expression that a good answer matches somewhere.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from schemas.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """One question; `wanted` None: nobody said what the answer must be like."""

    question: str
    wanted: re.Pattern[str] | None = None


OURS = tuple(
    HeldOut(question=question)
    for question in (
        "How can I learn to swim as an adult?",
        "Why is the sky blue?",
        "What should I cook for six guests?",
        "Explain to a child what money is.",
        "Write two sentences about the sea.",
        "What is 17 plus 25, and how do you know?",
        "My flight was cancelled. What can I do now?",
        "What is the difference between a virus and a bacterium?",
    )
)


class _Line(msgspec.Struct):
    question: str
    wanted: str | None = None


def read_held_out(path: Path | None) -> tuple[HeldOut, ...]:
    """The questions of a file of JSON lines. Args: path: None: our own.

    Raises:  SettingsError: it cannot be read, has none, or a line is none.
    """
    if path is None:
        return OURS
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        message = f"gate.questions names {path}, which cannot be read ({error.strerror}); name a file of JSON lines."
        raise SettingsError(message) from error
    found = tuple(_read(path, number, line) for number, line in enumerate(lines, 1) if line.strip())
    if not found:
        raise SettingsError(f"gate.questions names {path}, which has no question; write one JSON line for each.")
    return found


def _read(path: Path, number: int, raw: bytes) -> HeldOut:
    try:
        line = msgspec.json.decode(raw, type=_Line)
        return HeldOut(question=line.question, wanted=None if line.wanted is None else re.compile(line.wanted))
    except (msgspec.MsgspecError, UnicodeDecodeError, re.error) as error:
        message = f"Line {number} of {path} (gate.questions) has no `question`, or a bad `wanted`: {error}."
        raise SettingsError(message) from error
