"""`TokenTexts`: what each token of the policy adds to a text, in bytes.

A token may be part of a character: three make an emoji, and none of them alone is text. So the bytes are those of the
tokenizer's vocabulary, by the form that its decoder reads:

* byte-level (GPT-2, Llama 3, Qwen, SmolLM2): one character stands for each byte;
* SentencePiece's (Llama 2, Mistral, Gemma): `<0xE2>` is a byte, all else is text with "▁" for the space.

Consumes a tokenizer and its file, produces `Token`s.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token. `text` has U+FFFD where `raw` is no whole character; `is_special`: no client's text has it."""

    text: str
    raw: bytes
    is_special: bool


class TokenTexts:
    """Of one tokenizer. Args: written: its file, parsed."""

    def __init__(self, tokenizer: Tokenizer, written: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._added = tokenizer.get_added_tokens_decoder()
        decoder = written.get("decoder") or {}
        kinds = {decoder.get("type"), *(one.get("type") for one in decoder.get("decoders", ()))}
        self._bytes_of = _of_byte_level if "ByteLevel" in kinds else _of_sentencepiece

    def of(self, token_id: int) -> Token:
        """The token with this id. One that the tokenizer does not know, as weights may have more rows, is special."""
        if (added := self._added.get(token_id)) is not None:
            return Token(text=added.content, raw=added.content.encode(), is_special=added.special)
        written = self._tokenizer.id_to_token(token_id)
        if written is None:
            return Token(text="", raw=b"", is_special=True)
        raw = self._bytes_of(written)
        return Token(text=raw.decode(errors="replace"), raw=raw, is_special=False)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's: a printable byte of Latin-1 is itself, the others are the characters from U+0100 on, in their order."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()


def _of_byte_level(token: str) -> bytes:
    return bytes(_BYTE_OF[char] for char in token) if _BYTE_OF.keys() >= set(token) else token.encode()


def _of_sentencepiece(token: str) -> bytes:
    found = _BYTE.fullmatch(token)
    return bytes.fromhex(found[1]) if found else token.replace("▁", " ").encode()
