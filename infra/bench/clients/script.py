"""`Script`: what the model says in the benchmark of clients, whoever asks and however the client has put it.

One conversation, in which everything happens that agents do: a question that needs two tools at once, their results, a
correction, a request on which the engine fails, and a long answer that the client walks away from. A line is chosen by
what the prompt holds behind the last reply, and a tool by which of those known here the client offers; so the script
needs no memory but of whether it has failed already.

Clients say (infra/connect/programs): QUESTION, then what two tools gave, then CORRECTION, then RETRIED, then LONG.
"""

from dataclasses import dataclass

import orjson

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
    """What is said to a prompt. `fails`: the engine is away instead; `slow`: token by token, with time to leave."""

    text: str
    fails: bool = False
    slow: bool = False


@dataclass(slots=True)
class Script:
    """The lines, for one run of one client."""

    has_failed: bool = False

    def line(self, prompt: str) -> Line:
        """What the model says next."""
        newest = _unanswered(prompt)
        if LONG in newest:
            return Line(STORY, slow=True)
        if RETRIED in newest:
            fails, self.has_failed = not self.has_failed, True
            return Line(_told(AFTER_RETRY, prompt), fails=fails)
        if CORRECTION in newest:
            return Line(_told(CORRECTED, prompt))
        if all(result in newest for result in RESULTS):
            return Line(_told(ANSWER, prompt))
        return Line(_calls(prompt) if QUESTION in newest else "I do not know.")


def _unanswered(prompt: str) -> str:
    """The messages behind the last reply; without a reply, those behind the system's."""
    *said, newest, _opening = prompt.split(_REPLY_BEGINS)
    return newest.partition(ENDS if said else _USER_BEGINS)[2]


def _calls(prompt: str) -> str:
    tool = next(name for name in _TOOLS if _offers(prompt, name))
    return "\n".join(_call(tool, arguments) for arguments in _TOOLS[tool])


def _told(answer: str, prompt: str) -> str:
    """An answer, for an agent that takes none without a call."""
    return f"{answer}\n{_call('bash', {'command': SUBMIT})}" if _offers(prompt, "bash") else answer


def _offers(prompt: str, tool: str) -> bool:
    return f'"name": "{tool}"' in prompt


def _call(tool: str, arguments: dict[str, str]) -> str:
    return f"<tool_call>\n{orjson.dumps({'name': tool, 'arguments': arguments}).decode()}\n</tool_call>"
