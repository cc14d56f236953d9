"""Lexicon: which cues (thanks, correction, "too long", "again" ...) a reply holds, in sixteen languages.

Sentence embeddings of an English model read "wrong" and "right" as neighbours and know little of other languages; a
list of words knows both, and a reader can extend it. Owns data/cues.toml; produces normalised text, clauses and cues.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final

CUES_FILE: Final = files("serving.judges") / "data" / "cues.toml"
# Chinese and Japanese write no spaces: their terms are looked for anywhere, as are emoji.
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_WORD: Final = re.compile(r"\w+")
_CLAUSE_END: Final = re.compile(r"(?<=[.!?;:,。！？，、…؟])\s*|\n+|\s[-\u2013\u2014]\s")
_LETTERS_WITHOUT_DECOMPOSITION: Final = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "ı": "i", "’": "'"})
_LONGEST_TERM_WORDS: Final = 5


def normalise(text: str) -> str:
    """Lower case, no accents or apostrophes, no stretched letters ("Thank youuu" and "thank you" are equal)."""
    lowered = text.lower().translate(_LETTERS_WITHOUT_DECOMPOSITION)
    decomposed = unicodedata.normalize("NFKD", lowered)
    bare = "".join(char for char in decomposed if not "\u0300" <= char <= "\u036f")
    joined = unicodedata.normalize("NFC", bare).replace("'", "").replace("\ufe0f", "")
    return re.sub(r"([^\W\d])\1{2,}", r"\1", joined)


def words(text: str) -> list[str]:
    """The words of a normalised text, without punctuation."""
    return _WORD.findall(text)


def clauses(text: str) -> list[str]:
    """A normalised text cut at punctuation; never empty unless the text is."""
    return [part for part in _CLAUSE_END.split(text) if part and part.strip()]


class Lexicon:
    """Terms by cue. A term is a phrase of whole words; "stem*" also matches longer words."""

    def __init__(self, terms: dict[str, list[str]]) -> None:
        self.names = tuple(terms)
        self._phrases: dict[str, set[str]] = {}
        self._stems: dict[str, set[str]] = {}
        self._anywhere: dict[str, set[str]] = {}
        for cue, cue_terms in terms.items():
            for term in cue_terms:
                self._add(cue, normalise(term))

    def _add(self, cue: str, term: str) -> None:
        if _UNSPACED.search(term) or not _WORD.search(term):
            self._anywhere.setdefault(term, set()).add(cue)
        elif term.endswith("*"):
            self._stems.setdefault(" ".join(words(term)), set()).add(cue)
        else:
            self._phrases.setdefault(" ".join(words(term)), set()).add(cue)

    def find(self, text: str) -> frozenset[str]:
        """Names of the cues that a normalised text holds."""
        found: set[str] = set()
        for phrase in _phrases(words(text)):
            found |= self._phrases.get(phrase, set())
            for stop in range(2, len(phrase) + 1):
                found |= self._stems.get(phrase[:stop], set())
        for term, cues in self._anywhere.items():
            if term in text:
                found |= cues
        return frozenset(found)


def _phrases(tokens: list[str]) -> Iterable[str]:
    for start in range(len(tokens)):
        for stop in range(start + 1, min(start + _LONGEST_TERM_WORDS, len(tokens)) + 1):
            yield " ".join(tokens[start:stop])


@cache
def load_lexicon() -> Lexicon:
    """The lexicon of data/cues.toml."""
    return Lexicon(tomllib.loads(CUES_FILE.read_text(encoding="utf-8")))


def without_terms(lexicon: Lexicon) -> Lexicon:
    """A lexicon with the same cues that knows no word of them."""
    return Lexicon({cue: [] for cue in lexicon.names})
