"""`VerbatimExtractor`: the correction itself is the hint.

A user who complains says how the answer should have been different; the teacher reads those very words. Only negative
verdicts have hindsight, and "no, again please" has none: it asks for another answer without saying which.
"""

from typing import Final

from schemas.events import TransitionJoined
from schemas.judgement import Hints, Judgement
from serving.judges.lexicon import load_lexicon, normalise, words
from serving.judges.next_state import read_next_state

MIN_HINT_CHARS = 11  # "more than 10 characters" in the method
MAX_HINT_CHARS = 600  # the teacher reads it with the whole prompt; a longer complaint is a paste
# What a word can say without saying how the answer should have been; the ignored ones say nothing at all.
_BARE_CUES: Final = frozenset(
    {"no", "wrong", "redo", "failure", "disapproval", "confusion", "doubt", "sarcasm", "pause"}
    | {"thanks", "praise", "accept", "affirm", "greeting", "contrast"}
    | {"asks", "commands", "refers", "you"}
)
_IGNORED: Final = frozenset({"a", "an", "the", "be", "me", "to", "try", "please", "pls", "just", "so", "sorry", "good"})


class VerbatimExtractor:
    """The extractor (processors.ports.HintExtractor)."""

    name = "verbatim"
    version = "2"

    async def extract(self, transition: TransitionJoined, judgement: Judgement) -> Hints:
        """The user's correction or the tool's error, where the verdict is negative."""
        if judgement.score != -1:
            return Hints(hints=(), reason="nothing was wrong with the answer")
        text = correction(transition)
        if len(text) < MIN_HINT_CHARS or (read_next_state(transition).reply and _is_bare(text)):
            return Hints(hints=(), reason="the next state does not say what should have been different")
        return Hints(hints=(text,))


def correction(transition: TransitionJoined) -> str:
    """What the user said, or else the end of what the tools said, where an error stands; at most `MAX_HINT_CHARS`."""
    state = read_next_state(transition)
    if state.reply:
        return state.reply[:MAX_HINT_CHARS].strip()
    return "\n".join(state.results).strip()[-MAX_HINT_CHARS:].strip()


def _is_bare(text: str) -> bool:
    lexicon = load_lexicon()
    said = [lexicon.find(word) for word in words(normalise(text)) if word not in _IGNORED]
    return all(cues and cues <= _BARE_CUES for cues in said)
