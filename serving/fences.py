"""`fenced`: strangers' words for a model to read, between fences that they cannot close.

Every speaker has a fence of its own, or else a tool's output could go on as the user whom it wants to have praised it.
A fence is told by a word of 128 random bits that is drawn anew for each prompt and stands in none of the texts, so that
whatever they hold, a fence that was seen earlier included, is data. Long texts are cut, each to a fair share: nobody's
words push out another's.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WORD_BYTES = 16
_MOST_SPEAKERS = 32  # of one part, the last ones; each costs a fence


class Said(NamedTuple):
    """What one speaker says. `speaker` is a word of ours, never a stranger's."""

    speaker: str
    text: str


def fenced(parts: Mapping[str, Sequence[Said]], max_chars: int) -> tuple[str, str]:
    """Untrusted texts between fences that they cannot close.

    Args:    parts: by their names, which are ours; max_chars: of the texts of one part.
    Returns: the fences' word, and the texts.
    """
    word = _word_in_none_of([said.text for part in parts.values() for said in part])
    blocks = []
    for name, part in parts.items():
        texts = _cut([said.text for said in part[-_MOST_SPEAKERS:]], max_chars)
        inner = [_between(said.speaker, word, text) for said, text in zip(part[-_MOST_SPEAKERS:], texts, strict=True)]
        blocks.append(_between(name, word, "\n".join(inner)))
    return word, "\n".join(blocks)


def _word_in_none_of(texts: Sequence[str]) -> str:
    lowered = [text.lower() for text in texts]  # a model may take one case for the other
    while True:
        word = secrets.token_hex(_WORD_BYTES)
        if not any(word in text for text in lowered):
            return word


def _between(name: str, word: str, text: str) -> str:
    return f"<{name} {word}>\n{text}\n</{name} {word}>"


def _cut(texts: Sequence[str], max_chars: int) -> list[str]:
    """The texts, with what the short ones leave of their share given to the long ones."""
    left = max_chars
    cut = list(texts)
    shortest_first = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    for num_before, place in enumerate(shortest_first):
        cut[place] = _edges(texts[place], left // (len(texts) - num_before))
        left -= min(len(texts[place]), left // (len(texts) - num_before))
    return cut


def _edges(text: str, max_chars: int) -> str:
    """Beginning and end: tools put their status first or last, and people say at the end what they want."""
    if len(text) <= max_chars:
        return text
    tail = max_chars // 2
    return f"{text[: max_chars - tail]}\n[{len(text) - max_chars} characters left out]\n{text[len(text) - tail :]}"
