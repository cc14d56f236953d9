"""`waits_for_outcome`, `newest_thumb` and `reward_of`: what a turn is rewarded with, and whether that is known yet.

A thumb outweighs the judge: a judge reads from what somebody says next how good the answer was, a thumb is somebody
saying so. The verdict is recorded all the same, so the log shows both, and who disagrees.

Live chat has no verifier: the verdict on a turn is all the credit that it will ever get, so it goes straight on. A turn
of an episode or of a group owes part of its credit to an outcome that a verifier reports later (openclaw-rl.md:
process plus outcome); training it on the verdict alone would credit steps of a failed episode as if it had succeeded.
Such a turn stays open until its outcome is joined to it, or until it is forgotten with a skip (turns.py).
"""

from collections.abc import Iterable

from schemas.events import Event, FeedbackGiven, VerdictReached
from schemas.feedback import thumb_of


def waits_for_outcome(turn: Event) -> bool:
    """Whether the turn belongs to something that a verifier scores as a whole."""
    return turn.episode_id is not None or turn.group_id is not None


def newest_thumb(feedback: Iterable[FeedbackGiven]) -> FeedbackGiven | None:
    """Of feedback on one action the newest that is a thumb, by its own time; the later id where that is equal."""
    thumbs = (each for each in feedback if thumb_of(each) is not None)
    return max(thumbs, key=lambda each: (each.time_ms, each.id), default=None)


def reward_of(verdict: VerdictReached, thumb: FeedbackGiven | None = None) -> float | None:
    """The reward of a live turn: the thumb's, else the verdict's; None where that does not reward (0, abstained)."""
    said = verdict.score if thumb is None else thumb_of(thumb)
    return float(said) if said else None
