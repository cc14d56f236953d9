"""`find_fault`: what a simulated user finds wrong with an answer; the system reads nothing but the words that follow.

The paper's three users, each with a rule (`RULES`). Its TA asks for 100 tokens; tokens are dear on a CPU, so here
`ENOUGH_TOKENS` are enough, and every answer may have `MAX_ANSWER_TOKENS`. Beyond their rule all want an answer, to
their question: without that, policies were found that satisfy all three with "I'm happy to help. I'm happy to help."
"""

import re
from collections.abc import Callable
from typing import Final, Literal

from serving.repetition import repeated_share

MAX_ANSWER_TOKENS: Final = 80
ENOUGH_TOKENS: Final = 60  # of `MAX_ANSWER_TOKENS`, as the paper's 100 of a longer answer

MAX_REPEATED: Final = 0.2  # of an answer's 4-grams of words; the base model's answers have 0.02 of tokens
STEM: Final = 5  # letters in which "explain" and "explanation" are alike

Rule = Callable[[str, int], bool]  # (the answer's text, its number of tokens) -> whether it is kept
Fault = Literal["rule", "repetition", "digression"]

_FORMATTING = re.compile(r"\*\*|__|\\boxed|^\s*(?:[-*+•]|\d+[.)])\s|^\s*#+\s", re.MULTILINE)
_WORD = re.compile(r"\w+")
_SAYS_NOTHING: Final = """
about and are ask between can capital class correct could did does explain find five for from get give good have how
into main make many much should some steps suggest talk teach tell that the their them there they this tips title was
were what when where which while who why will with would write you your sentence
"""  # of what a question is about
_COMMON: Final = frozenset(_SAYS_NOTHING.split())
_OPENING_CHARS = 200  # about the first two sentences
_WARMTH = re.compile(
    r"""\b(?:
        (?:great|good|excellent|wonderful|lovely|fantastic|thoughtful|interesting|beautiful)\s+question
      | (?:i'm|i\s+am|we're)\s+(?:so\s+|very\s+|really\s+)?(?:glad|happy|delighted|pleased|excited|proud|thrilled)
      | (?:i'd|i\s+would)\s+(?:be\s+(?:so\s+|more\s+than\s+)?(?:happy|glad|delighted)|love\s+to)
      | (?:thank\s+you|thanks)\s+(?:so\s+much\s+)?for | it'?s\s+(?:great|wonderful|lovely)\s+(?:that|to\s+(?:hear|see))
      | (?:don't|do\s+not|no\s+need\s+to)\s+worry | well\s+done | (?:good|best\s+of)\s+luck | congratulations
      | you'?(?:re|\s+are)\s+(?:doing\s+(?:great|well|a\s+great)|not\s+alone|very\s+welcome|awesome|amazing|wonderful)
      | you'?ve\s+got\s+this | you\s+can\s+do\s+(?:it|this) | keep\s+up\s+the
      | (?:what\s+a|that's\s+a)\s+(?:great|lovely|wonderful) | (?:my|dear)\s+(?:dear|friend|teacher|colleague)
      | i\s+(?:completely\s+|totally\s+|really\s+)?(?:understand|appreciate|admire)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)


def is_plain(answer: str, num_tokens: int) -> bool:  # noqa: ARG001 - every rule is asked alike
    """The student's: no bold, lists, headings or boxed results."""
    return _FORMATTING.search(answer) is None


def is_long(answer: str, num_tokens: int) -> bool:  # noqa: ARG001
    """The teaching assistant's: long enough to learn something from."""
    return num_tokens >= ENOUGH_TOKENS


def is_warm(answer: str, num_tokens: int) -> bool:  # noqa: ARG001
    """The teacher's: a warm phrase near the beginning."""
    return _WARMTH.search(answer[:_OPENING_CHARS].replace("\u2019", "'")) is not None


RULES: Final[dict[str, Rule]] = {"student": is_plain, "ta": is_long, "teacher": is_warm}


def find_fault(user: str, question: str, answer: str, num_tokens: int) -> Fault | None:
    """What this user complains about first; None: the answer is right."""
    if not RULES[user](answer, num_tokens):
        return "rule"
    if repeated_share(_words(answer)) > MAX_REPEATED:
        return "repetition"
    return None if is_about(question, answer) else "digression"


def is_about(question: str, answer: str) -> bool:
    """Whether the answer takes up a word of the question, or the question has none of its own."""
    topic = {word[:STEM] for word in _words(question) if word not in _COMMON and len(word) > 2}
    return not topic or not topic.isdisjoint(word[:STEM] for word in _words(answer))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
