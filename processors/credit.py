"""`waits_for_outcome` and `reward_of`: what a turn is rewarded with, and whether that is known yet.

Live chat has no verifier: the verdict on a turn is all the credit that it will ever get, so it goes straight on. A turn
of an episode or of a group owes part of its credit to an outcome that a verifier reports later (openclaw-rl.md:
process plus outcome); training it on the verdict alone would credit steps of a failed episode as if it had succeeded.
Such a turn stays open until its outcome is joined to it, or until it is forgotten with a skip (turns.py).
"""

from schemas.events import Event, VerdictReached


def waits_for_outcome(turn: Event) -> bool:
    """Whether the turn belongs to something that a verifier scores as a whole."""
    return turn.episode_id is not None or turn.group_id is not None


def reward_of(verdict: VerdictReached) -> float | None:
    """The reward of a live turn; None where the verdict does not reward (0, or it abstained)."""
    return float(verdict.score) if verdict.score else None
