"""Features: one exchange as numbers, from its cues, its shape, and how close the reply is to question and answer.

Three views of the cues: anywhere in the reply, in its first clause ("Great, now ..."), in its last. Products stand for
what a linear classifier cannot see by itself: thanks *and* a fault, a bare "no" *to a question of the assistant*.
Consumes an exchange and two cosine similarities; produces named columns in a fixed order.
"""

import re
from dataclasses import dataclass
from typing import Final

from serving.judges.lexicon import Lexicon, clauses, normalise, words

GOOD: Final = ("thanks", "praise", "success", "accept", "affirm")
FAULT: Final = (
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
)
_QUESTION_MARKS: Final = ("?", "？", "؟")
_CONTENT_WORD_CHARS: Final = 4  # shorter words are mostly grammar
_ERROR_LOG: Final = re.compile(r"traceback|exception|\w+error\b|\berror[: \[(]|\b[1-9]\d* failed|exit (?:code|status) [1-9]")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a classifier of user replies reads."""

    question: str
    answer: str
    reply: str


def own_words(reply: str) -> str:
    """The reply without the lines that it quotes ("> ..."); whole where it quotes only."""
    own = "\n".join(line for line in reply.splitlines() if not line.lstrip().startswith(">")).strip()
    return own or reply.strip()


def _content(text: str) -> set[str]:
    return {word for word in words(normalise(text)) if len(word) >= _CONTENT_WORD_CHARS}


def describe(
    exchange: Exchange, lexicon: Lexicon, similarity_question: float, similarity_answer: float
) -> dict[str, float]:
    """Every feature of one exchange, by name; the order of the names is always the same."""
    reply = own_words(exchange.reply)
    text = normalise(reply)
    parts = clauses(text) or [text]
    anywhere, first, last = lexicon.find(text), lexicon.find(parts[0]), lexicon.find(parts[-1])
    features = {f"any:{cue}": float(cue in anywhere) for cue in lexicon.names}
    features |= {f"first:{cue}": float(cue in first) for cue in lexicon.names}
    features |= {f"last:{cue}": float(cue in last) for cue in lexicon.names}
    features |= _shape(exchange, reply, text, lexicon)
    features |= _relation(exchange, text, similarity_question, similarity_answer)
    return features | _products(features, anywhere, first)


def _shape(exchange: Exchange, reply: str, text: str, lexicon: Lexicon) -> dict[str, float]:
    num_words = len(words(text))
    opening = lexicon.find(" ".join(words(text)[:2]))
    return {
        "has question mark": float(any(mark in text for mark in _QUESTION_MARKS)),
        "ends in question mark": float(text.rstrip().endswith(_QUESTION_MARKS)),
        "ends in exclamation mark": float(text.rstrip().endswith(("!", "！"))),
        "length": min(num_words / 20, 2.0),
        "one or two words": float(num_words <= 2),
        "no words": float(num_words == 0),
        "shouted": float(reply.isupper() and len(reply) > 3),
        "error log": float(_ERROR_LOG.search(text) is not None),
        "quotes": float('"' in text or reply != exchange.reply.strip()),
        "opens as question": float("asks" in opening),
        "opens as command": float("commands" in opening),
        "answer asks": float(exchange.answer.rstrip().endswith(_QUESTION_MARKS)),
    }


def _relation(exchange: Exchange, text: str, similarity_question: float, similarity_answer: float) -> dict[str, float]:
    said, asked = _content(text), _content(exchange.question)
    of_question = len(said & asked) / max(1, len(asked))
    of_reply = len(said & asked) / max(1, len(said))
    return {
        "like question": similarity_question,
        "much like question": max(0.0, similarity_question - 0.5) * 2,  # hinges: only a near repeat is a re-ask
        "very like question": max(0.0, similarity_question - 0.75) * 4,
        "like answer": similarity_answer,
        "repeats the question": of_question,
        "adds nothing to the question": of_reply,
        "re-asks": of_question * of_reply,
    }


def _products(features: dict[str, float], anywhere: frozenset[str], first: frozenset[str]) -> dict[str, float]:
    num_good, num_fault = len(anywhere.intersection(GOOD)), len(anywhere.intersection(FAULT))
    good, fault, good_first = float(num_good > 0), float(num_fault > 0), float(not first.isdisjoint(GOOD))
    plain = (1 - good) * (1 - fault)
    asked, short, question = features["answer asks"], features["one or two words"], features["has question mark"]
    return {
        "good cues": num_good / 2,
        "fault cues": num_fault / 3,
        "several faults": float(num_fault > 1),
        "good and fault": good * fault,
        "good only": good * (1 - fault),
        "fault only": fault * (1 - good),
        "plain": plain,
        "plain question": plain * question,
        "plain opening question": plain * features["opens as question"],
        "plain opening command": plain * features["opens as command"],
        "good first": good_first,
        "good first, fault": good_first * fault,
        "good first, contrast": good_first * features["any:contrast"],
        "good first, moving on": good_first * features["any:moving_on"],
        "good first, question": good_first * question,
        "good first, command": good_first * features["any:commands"],
        "good, sarcasm": good * features["any:sarcasm"],
        "fault, denied": fault * features["any:negated_complaint"],
        "told you, question": features["any:told_you"] * question,
        "no, good": features["first:no"] * good,
        "no, fault": features["first:no"] * fault,
        "bare no": features["any:no"] * short * (1 - asked),
        "fault, says nothing of the answer": fault * (1 - features["any:you"]) * (1 - features["any:refers"]),
        "fault in an opening question": fault * features["opens as question"] * (1 - features["any:you"]),
        "good in an opening question": good * features["opens as question"] * (1 - good_first),
        "plain, of the answer": plain * max(features["any:you"], features["any:refers"]),
        "plain statement": plain * (1 - question) * (1 - features["opens as command"]),
        "answered": asked * plain,
        "answered shortly": asked * short,
        "answered no": asked * features["any:no"],
        "answered yes": asked * features["any:affirm"],
    }
