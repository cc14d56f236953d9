"""`thumb_of` and `digest_said`: what feedback says in one word, and whether two say the same.

A thumb says it outright. A rating says it at its ends, in the best or the worst quarter of its own scale: of five stars
four and five are up, one and two are down, and three are neither. A rating without a scale is neither, for nobody knows
which end is the good one. Nor is a comment: whoever means "good" or "bad" by one can say so. The DuckDB macro
`thumb_given` (streams/views/turns.sql) says the same.
"""

from schemas.events import FeedbackGiven, Thumb
from schemas.identity import digest_text

END_OF_SCALE = 0.25  # the share of a scale, from either end, in which a rating is a thumb


def thumb_of(feedback: FeedbackGiven) -> Thumb | None:
    """The thumb that feedback amounts to; None: it is neither up nor down."""
    if feedback.thumb is not None:
        return feedback.thumb
    rating, worst, best = feedback.rating, feedback.worst_rating, feedback.best_rating
    if rating is None or worst is None or best is None:
        return None
    share = (rating - worst) / (best - worst)
    if share >= 1 - END_OF_SCALE:
        return 1
    return -1 if share <= END_OF_SCALE else None


def digest_said(feedback: FeedbackGiven) -> str:
    """Digest of what feedback says, and of who says it."""
    numbers = (feedback.thumb, feedback.rating, feedback.worst_rating, feedback.best_rating)
    return digest_text("feedback", feedback.subject, *map(repr, numbers), feedback.comment)
