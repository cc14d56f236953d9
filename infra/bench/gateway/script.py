"""`Script`: what the scripted engine says: token by token in the policy's own vocabulary, and never the same twice.

An answer is a number and a sentence. The number makes it one of a kind, as real answers are: who matches conversations
by what was said cannot profit from answers that are all alike, nor suffer from them.
"""

import re
from dataclasses import dataclass

from schemas.events import Message
from serving.rendering import ChatRenderer

NUM_DIGITS = 6
NUM_TOKENS = 32  # of an answer: digits, words, and the token that ends it
_SENTENCE = (
    "Begin with something small that you can do today, put what you need in one place the evening before, and ask a "
    "friend who has done it what they would leave out the next time."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token of an answer, and what it reads as; the last one reads as nothing."""

    id: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The vocabulary of all answers."""

    digits: tuple[Token, ...]  # 0 to 9
    sentence: tuple[Token, ...]  # with the end token

    @classmethod
    def of(cls, renderer: ChatRenderer) -> "Script":
        """In the tokens of a policy."""
        sentence = _tokens(renderer, f"0 {_SENTENCE}")
        return cls(
            digits=tuple(_tokens(renderer, str(digit))[0] for digit in range(10)),
            sentence=(*sentence[1 : NUM_TOKENS - NUM_DIGITS], sentence[-1]),
        )

    def answer(self, number: int) -> tuple[Token, ...]:
        """The tokens of answer `number`, at most 999,999."""
        return (*(self.digits[int(digit)] for digit in f"{number:0{NUM_DIGITS}}"), *self.sentence)

    def is_answer(self, text: str) -> bool:
        """Whether a client has read one of these answers, whole."""
        sentence = "".join(token.text for token in self.sentence)
        return re.fullmatch(rf"\d{{{NUM_DIGITS}}}{re.escape(sentence)}", text) is not None


def _tokens(renderer: ChatRenderer, text: str) -> tuple[Token, ...]:
    """A reply's tokens, with the one that ends it."""
    _, ids = renderer.turn_ids(
        (Message(role="user", content="?"),), Message(role="assistant", content=text), "[]", "{}"
    )
    return tuple(Token(id=id_, text=renderer.decode((id_,))) for id_ in ids)
