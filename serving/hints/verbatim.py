"""`VerbatimExtractor`: the correction itself is the hint.

A user who complains says how the answer should have been different; the teacher reads those very words. Only negative
verdicts have hindsight, and a bare "no" has none.
"""

import re

from schemas.events import TransitionJoined
from schemas.judgement import Hints, Judgement

MIN_HINT_CHARS = 11  # "more than 10 characters" in the method
MAX_HINT_CHARS = 600  # the teacher reads it with the whole prompt; a longer complaint is a paste
STAMP = re.compile(r"^\[[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d[^\]]*\]\s*")  # some clients date each message
BARE = re.compile(
    r"(?:please |pls |just )?(?:try |do (?:it|that|this) )?(?:again|once more|over)(?: please)?"
    r"|(?:no|nope|wrong|bad|incorrect)(?:[, ]+(?:no|nope|wrong|bad|incorrect|again|please|try again))*"
    r"|that(?:'s| is) (?:not right|wrong|bad|incorrect)",
    re.IGNORECASE,
)


class VerbatimExtractor:
    """The extractor (processors.ports.HintExtractor)."""

    name = "verbatim"
    version = "1"

    async def extract(self, transition: TransitionJoined, judgement: Judgement) -> Hints:
        """The user's correction or the tool's error, where the verdict is negative."""
        if judgement.score != -1:
            return Hints(hints=(), reason="nothing was wrong with the answer")
        text = correction(transition)
        if len(text) < MIN_HINT_CHARS or BARE.fullmatch(text.rstrip(" .!?")):
            return Hints(hints=(), reason="the next state does not say what should have been different")
        return Hints(hints=(text,))


def correction(transition: TransitionJoined) -> str:
    """What the user said, or else what the tool said, without time stamps and cut to `MAX_HINT_CHARS`."""
    for role in ("user", "tool"):
        said = [STAMP.sub("", message.content).strip() for message in transition.next_messages if message.role == role]
        if text := "\n".join(filter(None, said)):
            return text[:MAX_HINT_CHARS].strip()
    return ""
