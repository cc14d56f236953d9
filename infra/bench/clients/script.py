"""`Script`: what the model says in the benchmark of clients, whoever asks and however the client has put it.

One conversation, in which everything happens that agents do: a question that needs two tools at once, their results, a
correction, a request on which the engine fails, and a long answer that the client walks away from. A line is chosen by
what the prompt holds behind the last reply, and a tool by which of those known here the client offers; so the script
needs no memory but of whether it has failed already.

Clients say (infra/connect/programs): QUESTION, then what two tools gave, then CORRECTION, then RETRIED, then LONG.
Which of these a prompt asks (`asked`) can be told whoever answers it.
"""

from dataclasses import dataclass, field
from typing import Literal

import orjson

Asked = Literal["question", "results", "correction", "retried", "long", "other"]

QUESTION, CORRECTION, RETRIED, LONG = "Rome and Oslo", "Fahrenheit", "tomorrow", "story"
RESULTS = ("21 degrees", "17 degrees")
ANSWER = "It is 21 degrees in Rome and 17 degrees in Oslo."
CORRECTED = "It is 70 degrees Fahrenheit in Rome and 63 in Oslo."
AFTER_RETRY = "It will rain in both cities."
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"  # how mini-swe-agent is told that a task is done
STORY = "Once upon a time " + "there was a cloud that would not rain, and then " * 40 + "it rained."
_REPLY_BEGINS, _USER_BEGINS, ENDS = "<|im_start|>assistant", "<|im_start|>user", "<|im_end|>"  # the small model's
_TOOLS = {  # a tool's name, and arguments with which it gives each of RESULTS
    "weather": ({"city": "Rome"}, {"city": "Oslo"}),
    "bash": ({"command": "echo 21 degrees"}, {"command": "echo 17 degrees"}),
    "exec": ({"command": "echo 21 degrees"}, {"command": "echo 17 degrees"}),
}


@dataclass(frozen=True, slots=True)
class Line:
    """What is said to a prompt: `words`, then `calls`. `fails`: the engine is away; `slow`: there is time to leave."""

    asked: Asked
    words: str
    calls: str = ""
    fails: bool = False
    slow: bool = False

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(filter(None, (self.words, self.calls)))


@dataclass(slots=True)
class Away:
    """An engine that is away once, when the client says RETRIED, and then no more."""

    has_been: bool = False

    def now(self, asked: Asked) -> bool:
        """Whether it is, for a request that asks this."""
        is_away = asked == "retried" and not self.has_been
        self.has_been |= is_away
        return is_away


@dataclass(slots=True)
class Script:
    """The lines, for one run of one client."""

    away: Away = field(default_factory=Away)

    def line(self, prompt: str) -> Line:
        """What the model says next."""
        match asked(prompt):
            case "long":
                return Line("long", STORY, slow=True)
            case "retried":
                return Line("retried", AFTER_RETRY, _submits(prompt), fails=self.away.now("retried"))
            case "correction":
                return Line("correction", CORRECTED, _submits(prompt))
            case "results":
                return Line("results", ANSWER, _submits(prompt))
            case "question":
                return Line("question", "", _calls(prompt))
            case "other":
                return Line("other", "I do not know.")


def asked(prompt: str) -> Asked:
    """What a prompt asks."""
    newest = _unanswered(prompt)
    if LONG in newest:
        return "long"
    if RETRIED in newest:
        return "retried"
    if CORRECTION in newest:
        return "correction"
    if all(result in newest for result in RESULTS):
        return "results"
    return "question" if QUESTION in newest else "other"


def _unanswered(prompt: str) -> str:
    """The messages behind the last reply; without a reply, those behind the system's."""
    *said, newest, _opening = prompt.split(_REPLY_BEGINS)
    return newest.partition(ENDS if said else _USER_BEGINS)[2]


def _calls(prompt: str) -> str:
    tool = next(name for name in _TOOLS if _offers(prompt, name))
    return "\n".join(_call(tool, arguments) for arguments in _TOOLS[tool])


def _submits(prompt: str) -> str:
    """The call with which an agent that takes no answer without one is told that it is done; "" for others."""
    return _call("bash", {"command": SUBMIT}) if _offers(prompt, "bash") else ""


def _offers(prompt: str, tool: str) -> bool:
    return f'"name": "{tool}"' in prompt


def _call(tool: str, arguments: dict[str, str]) -> str:
    return f"<tool_call>\n{orjson.dumps({'name': tool, 'arguments': arguments}).decode()}\n</tool_call>"
