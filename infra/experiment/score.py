"""`sessions_needed`: the experiment's score of one user, and what a run makes of its users'."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

IN_A_ROW = 3  # sessions whose first answer satisfied the user


def sessions_needed(satisfied: Iterable[bool]) -> int | None:
    """The number, from 1, of the session that was the third satisfying one in a row; None: there was no such."""
    row = 0
    for number, is_satisfied in enumerate(satisfied, start=1):
        row = row + 1 if is_satisfied else 0
        if row == IN_A_ROW:
            return number
    return None


def run_score(by_user: Mapping[str, Sequence[bool]], cap: int) -> float:
    """Mean over the users; one who was never satisfied three times in a row counts as the cap."""
    return fmean(sessions_needed(satisfied) or cap for satisfied in by_user.values())
