"""Features: one exchange as numbers: its reply's manner, cues and shape, and how that relates to what went before.

Three views of the cues: anywhere in the reply, in its first clause ("Great, now ..."), in its last. Products stand for
what a linear classifier cannot see by itself: thanks *and* a fault, a bare "no" *to a question of the assistant*, the
manner *of a question*.
Consumes exchanges, the embedder and the lexicon; produces a matrix whose columns have a fixed order.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from serving.judges.embedding import Matrix, SentenceEmbedder
from serving.judges.lexicon import Lexicon, clauses, normalise, words

GOOD: Final = frozenset({"thanks", "praise", "success", "accept", "affirm"})
FAULT: Final = frozenset(
    {
        "wrong",
        "redo",
        "too_much",
        "reshape",
        "formatting",
        "forbid",
        "told_you",
        "your_fault",
        "failure",
        "confusion",
        "disapproval",
        "doubt",
        "sarcasm",
    }
)
_QUESTION_MARKS: Final = ("?", "？", "؟")
_CONTENT_WORD_CHARS: Final = 4  # shorter words are mostly grammar
_FEW_WORDS: Final = 4
_MANNER_SCALE: Final = 2.0  # unit vectors have small entries; unscaled, regularisation would silence them
_QUESTION_MANNER_SCALE: Final = 1.5
_QUOTATION: Final = re.compile(r'"[^"\n]{1,60}"|\u201c[^\u201d\n]{1,60}\u201d')  # short: a mention, not a speech
_ERROR_LOG: Final = re.compile(
    r"traceback|exception|\w+error\b|\berror[: \[(]|\b[1-9]\d* failed|exit (?:code|status) [1-9]"
)
_MOST_CHARS: Final = 2_000  # a longer reply is a paste; what the user says of the answer stands at its edges


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a classifier of user replies reads."""

    question: str
    answer: str
    reply: str


def own_words(reply: str) -> str:
    """The reply without the lines that it quotes ("> ..."), and without the middle of a very long paste."""
    own = "\n".join(line for line in reply.splitlines() if not line.lstrip().startswith(">")).strip() or reply.strip()
    return own if len(own) <= _MOST_CHARS else f"{own[: _MOST_CHARS // 2]}\n{own[-_MOST_CHARS // 2 :]}"


def spell_emoji(text: str) -> str:
    """Emoji by their Unicode names: the embedder's vocabulary holds those words and hardly any of the signs."""
    return "".join(
        f" {unicodedata.name(char, '').lower()} " if unicodedata.category(char) == "So" else char for char in text
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedExchanges:
    """What the embedder says of exchanges, whatever the lexicon knows."""

    manner: Matrix  # [N, D], of the replies
    meaning: Matrix  # [N, D], of the replies
    likeness: Matrix  # [N], cosine similarity of reply and question
    answer_likeness: Matrix  # [N], of reply and answer


def embed_exchanges(exchanges: Sequence[Exchange], embedder: SentenceEmbedder) -> EmbeddedExchanges:
    """The slow part of the features."""
    replies = embedder.embed([spell_emoji(own_words(exchange.reply)) for exchange in exchanges])
    questions = embedder.embed([exchange.question for exchange in exchanges]).meaning
    answers = embedder.embed([exchange.answer for exchange in exchanges]).meaning
    return EmbeddedExchanges(
        manner=replies.manner,
        meaning=replies.meaning,
        likeness=(replies.meaning * questions).sum(1),
        answer_likeness=(replies.meaning * answers).sum(1),
    )


def feature_matrix(exchanges: Sequence[Exchange], embedded: EmbeddedExchanges, lexicon: Lexicon) -> Matrix:
    """One row per exchange, in order."""
    described = [
        describe(exchange, lexicon, float(likeness), float(answer_likeness))
        for exchange, likeness, answer_likeness in zip(
            exchanges, embedded.likeness, embedded.answer_likeness, strict=True
        )
    ]
    questions = np.array([[features["has question mark"]] for features in described], np.float32)
    return np.hstack(
        [
            embedded.manner * _MANNER_SCALE,
            embedded.manner * questions * _QUESTION_MANNER_SCALE,
            embedded.meaning,
            np.array([list(features.values()) for features in described], np.float32),
        ]
    )


def describe(exchange: Exchange, lexicon: Lexicon, likeness: float, answer_likeness: float) -> dict[str, float]:
    """Every feature of one exchange but its embedding, by name.

    Args:    likeness: cosine similarity of reply and question.
             answer_likeness: cosine similarity of reply and answer.
    """
    reply = own_words(exchange.reply)
    text = normalise(reply)
    said = without_quotations(text)
    parts = clauses(said) or [said]
    anywhere, first, last = lexicon.find(said), lexicon.find(parts[0]), lexicon.find(parts[-1])
    features = {f"any:{cue}": float(cue in anywhere) for cue in lexicon.names}
    features |= {f"first:{cue}": float(cue in first) for cue in lexicon.names}
    features |= {f"last:{cue}": float(cue in last) for cue in lexicon.names}
    features |= _shape(exchange, reply, text, lexicon)
    features |= _relation(exchange.question, text, likeness)
    features |= _answer_relation(exchange, text, answer_likeness)
    return features | _products(features, anywhere, first)


def without_quotations(text: str) -> str:
    """A text without the words that it puts in quotation marks: 'Drop the "amazing"' praises nothing."""
    unquoted = _QUOTATION.sub(" ", text)
    return unquoted if unquoted.strip() else text


def _shape(exchange: Exchange, reply: str, text: str, lexicon: Lexicon) -> dict[str, float]:
    spoken = words(text)
    opening = lexicon.find(" ".join(spoken[:2]))
    return {
        "has question mark": float(any(mark in text for mark in _QUESTION_MARKS)),
        "ends in question mark": float(text.rstrip().endswith(_QUESTION_MARKS)),
        "ends in exclamation mark": float(text.rstrip().endswith(("!", "！"))),
        "length": min(len(spoken) / 20, 2.0),
        "one or two words": float(len(spoken) <= 2),
        "no words": float(not spoken),
        "shouted": float(reply.isupper() and len(reply) > 3),
        "error log": float(_ERROR_LOG.search(text) is not None),
        "quotes": float('"' in text or reply != exchange.reply.strip()),
        "opens as question": float("asks" in opening),
        "opens as command": float("commands" in opening),
        "answer asks": float(exchange.answer.rstrip().endswith(_QUESTION_MARKS)),
    }


def _relation(question: str, text: str, likeness: float) -> dict[str, float]:
    said, asked = _content(text), _content(normalise(question))
    of_question = len(said & asked) / max(1, len(asked))
    of_reply = len(said & asked) / max(1, len(said))
    return {
        "like question": likeness,
        "much like question": max(0.0, likeness - 0.5) * 2,  # hinges: only a near repeat is a re-ask
        "very like question": max(0.0, likeness - 0.75) * 4,
        "repeats the question": of_question,
        "adds nothing to the question": of_reply,
        "re-asks": of_question * of_reply,
    }


def _answer_relation(exchange: Exchange, text: str, likeness: float) -> dict[str, float]:
    """What the reply takes up from the answer: a word or number thrown back ("Cream?") is seldom praise."""
    said, asked = words(text), set(words(normalise(exchange.question)))
    answered = set(words(normalise(exchange.answer))) - asked
    numbers = {word for word in said if word.isdigit()}
    taken_up = sum(len(word) >= _CONTENT_WORD_CHARS and word in answered for word in said) / max(1, len(said))
    return {
        "like answer": likeness,
        "much like answer": max(0.0, likeness - 0.5) * 2,
        "takes up the answer": taken_up,
        "throws back a word": taken_up * (len(said) <= _FEW_WORDS),
        "number": float(bool(numbers)),
        "number of its own": float(bool(numbers - answered - asked)),
        "number of the answer": float(bool(numbers & answered)),
        "number of the question": float(bool(numbers & asked)),
    }


def _content(text: str) -> set[str]:
    return {word for word in words(text) if len(word) >= _CONTENT_WORD_CHARS}


def _products(features: dict[str, float], anywhere: frozenset[str], first: frozenset[str]) -> dict[str, float]:
    num_good, num_fault = len(anywhere & GOOD), len(anywhere & FAULT)
    good, fault, good_first = float(num_good > 0), float(num_fault > 0), float(not first.isdisjoint(GOOD))
    plain = (1 - good) * (1 - fault)
    asks, question = features["opens as question"], features["has question mark"]
    you, refers = features["any:you"], features["any:refers"]
    return {
        "good cues": num_good / 2,
        "fault cues": num_fault / 3,
        "several faults": float(num_fault > 1),
        "good and fault": good * fault,
        "good only": good * (1 - fault),
        "fault only": fault * (1 - good),
        "plain": plain,
        "plain question": plain * question,
        "plain opening question": plain * asks,
        "plain opening command": plain * features["opens as command"],
        "plain statement": plain * (1 - question) * (1 - features["opens as command"]),
        "plain, of the answer": plain * max(you, refers),
        "good first": good_first,
        "good first, fault": good_first * fault,
        "good first, contrast": good_first * features["any:contrast"],
        "good first, moving on": good_first * features["any:moving_on"],
        "good first, question": good_first * question,
        "good first, command": good_first * features["any:commands"],
        "good, sarcasm": good * features["any:sarcasm"],
        "good in an opening question": good * asks * (1 - good_first),
        "fault, denied": fault * features["any:negated_complaint"],
        "fault, not of the answer": fault * (1 - you) * (1 - refers),
        "fault in an opening question": fault * asks * (1 - you),
        "told you, question": features["any:told_you"] * question,
        "no, good": features["first:no"] * good,
        "no, fault": features["first:no"] * fault,
    } | _answering(features, plain)


def _answering(features: dict[str, float], plain: float) -> dict[str, float]:
    """After a question of the assistant, "no" is an answer and no complaint."""
    asked, short = features["answer asks"], features["one or two words"]
    return {
        "bare no": features["any:no"] * short * (1 - asked),
        "answered": asked * plain,
        "answered shortly": asked * short,
        "answered no": asked * features["any:no"],
        "answered yes": asked * features["any:affirm"],
    }
