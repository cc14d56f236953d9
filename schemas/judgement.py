"""Readings of a transition: what a judge and a hint extractor hand back before either becomes an event.

Here and not beside the ports, because serving/ makes these values and may not import processors/.
"""

from dataclasses import dataclass

from schemas.events import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judge says of one transition. `score` None is an abstention, `abstention` its reason."""

    score: Score | None
    votes: tuple[Score | None, ...]  # [M]; None for each vote that could not be read
    confidence: float | None = None
    abstention: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Up to 3 candidate hints, or none and the reason."""

    hints: tuple[str, ...]  # [H], each longer than 10 characters
    reason: str = ""
