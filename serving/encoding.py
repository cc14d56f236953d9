"""`TextEncoder`: text to the policy's token ids. A line that was encoded before costs a look-up.

Clients send all that was said before with every request, and agents a system prompt of many thousand tokens, of which
a line or two are new. So a text is cut into lines, and the ids of each are remembered, up to a number of bytes.

Cutting must not change an id, for what is trained on is what was served. It does not where the tokenizer cuts anyway:
* Added tokens (`<|im_start|>`) are found before all else; what is before and behind them is encoded apart.
* The rest is cut by the regex of the pre-tokenizer, and nothing is merged across its matches. `_line_end` knows, for
  the regexes that models use here, newlines at which one match ends and the next begins whatever is around, and across
  which no match looks ahead.
A tokenizer of any other kind is given the text whole, and nothing is remembered.
"""

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from sys import getsizeof
from threading import Lock
from typing import Any, NamedTuple, TypeAlias

from cachetools import LRUCache
from tokenizers import AddedToken, Tokenizer

MEMORY_BYTES = 64 * 1024**2  # the lines of hundreds of conversations with an agent
_ENTRY_BYTES = 300  # of a remembered line, beside its text and its ids

_Ids: TypeAlias = "array[int]"  # 4 bytes per token
_LineEnd = tuple[str, Callable[[re.Match[str]], int]]  # a newline, and on which side of it to cut

# In GPT-2's regex a match that holds white space behind its first character is all white space, so none goes on from
# something else to a newline. `\s+(?!\S)` looks no further than to the first character behind the white space.
_GPT2: _LineEnd = (r"\n(?<=\S\n)", re.Match.start)
# Here punctuation takes the newlines behind it, so one cuts behind those: no match goes on from a newline to something
# else. White space that ends in a newline is taken by `\s*[\r\n]+`, before `\s+(?!\S)` could look at what follows.
_CL100K: _LineEnd = (r"\n(?=\S)", re.Match.end)
_CL100K_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LINE_ENDS: Mapping[str, _LineEnd] = {
    _CL100K_REGEX % r"\p{N}": _CL100K,  # Qwen 2, 2.5 and 3
    _CL100K_REGEX % r"\p{N}{1,3}": _CL100K,  # Llama 3
}


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a text may be cut: at one side of every match."""

    pattern: re.Pattern[str]
    side: Callable[[re.Match[str]], int]

    def pieces(self, text: str) -> Iterator[str]:
        """The text in pieces, none of them empty."""
        begin = 0
        for match in self.pattern.finditer(text):
            if (end := self.side(match)) > begin:
                yield text[begin:end]
                begin = end
        if begin < len(text):
            yield text[begin:]


class _Known(NamedTuple):
    """The ids of a piece, and what it takes to remember them."""

    ids: _Ids
    num_bytes: int


class TextEncoder:
    """Encodes with one tokenizer. Safe to call from several threads.

    Args:    tokenizer: it must not change afterwards; form: the content of its `tokenizer.json`.
    """

    def __init__(self, tokenizer: Tokenizer, form: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._cut = _cut(tokenizer, form)
        self._known: MutableMapping[str, _Known] = LRUCache(MEMORY_BYTES, getsizeof=lambda known: known.num_bytes)
        self._lock = Lock()

    def __call__(self, text: str) -> tuple[int, ...]:
        """The ids that the tokenizer gives to the whole text; it adds none at the ends."""
        if self._cut is None:
            return tuple(self._encode([text])[0])
        pieces = list(self._cut.pieces(text))
        ids = self._recall(pieces)
        new = list(dict.fromkeys(piece for piece in pieces if piece not in ids))
        encoded = dict(zip(new, self._encode(new), strict=True))
        self._remember(encoded)
        ids |= encoded
        return tuple(chain.from_iterable(ids[piece] for piece in pieces))

    def _encode(self, texts: Sequence[str]) -> list[_Ids]:
        """All in one call, so that a busy interpreter is let go, and waited for, only once."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [array("I", encoding.ids) for encoding in encodings]

    def _recall(self, pieces: Sequence[str]) -> dict[str, _Ids]:
        with self._lock:
            return {piece: known.ids for piece in pieces if (known := self._known.get(piece)) is not None}

    def _remember(self, encoded: Mapping[str, _Ids]) -> None:
        with self._lock:
            for piece, ids in encoded.items():
                with suppress(ValueError):  # it is larger than all of the memory
                    self._known[piece] = _Known(ids, getsizeof(piece) + getsizeof(ids) + _ENTRY_BYTES)


def _cut(tokenizer: Tokenizer, form: Mapping[str, Any]) -> _Cut | None:
    added = list(tokenizer.get_added_tokens_decoder().values())
    line_end = _line_end(form.get("pre_tokenizer"))
    if line_end is None or not _is_local(form) or not all(map(_is_plain, added)):
        return None
    newline, side = line_end
    longest_first = sorted((token.content for token in added), key=len, reverse=True)  # as the tokenizer finds them
    return _Cut(re.compile("|".join([*map(re.escape, longest_first), newline])), side)


def _line_end(pre_tokenizer: object) -> _LineEnd | None:
    match pre_tokenizer:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}:
            return _GPT2
        case {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"} as last]}:
            return _line_end(last)
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return _LINE_ENDS.get(regex)
    return None


def _is_local(form: Mapping[str, Any]) -> bool:
    """Whether the ids of a pre-token depend on nothing but the pre-token."""
    match form:
        case {
            "normalizer": None | {"type": "NFC"},  # NFC composes nothing with a newline
            "model": {"type": "BPE", "dropout": None},
            "truncation": None,
            "padding": None,
        }:
            return True
    return False


def _is_plain(token: AddedToken) -> bool:
    """Whether a token is found by its text alone, before all else, and holds no place to cut at."""
    depends = token.normalized or token.single_word or token.lstrip or token.rstrip
    return not depends and "\n" not in token.content
