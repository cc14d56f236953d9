"""`read_next_state`: who spoke after an action, the user or the environment, and their own words.

Clients wrap what the user typed: a time stamp before it, notes of the runtime after it, whole messages of internal
context. None of that is the user's word. In terminals and other environments the observation comes as a user message,
so there the role alone does not tell a person from a machine.
"""

import re
from dataclasses import dataclass
from typing import Final

from schemas.events import Message, TransitionJoined

_STAMP: Final = re.compile(r"^\[[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d[^\]]*\]\s*")
_RUNTIME_NOTE: Final = re.compile(r"^Runtime: agent=.*$", re.MULTILINE)
_INTERNAL: Final = re.compile(r"<<<BEGIN_\w*INTERNAL_CONTEXT>>>.*?(?:<<<END_\w*INTERNAL_CONTEXT>>>|\Z)", re.DOTALL)
_WITHOUT_USERS: Final = frozenset({"terminal", "gui", "swe"})
_OBSERVATION: Final = re.compile(r"\s*(?:<returncode>|Observation:)")  # as command-line agents send it in a chat


@dataclass(frozen=True, slots=True, kw_only=True)
class NextState:
    """`reply` is empty where no user spoke; `results` hold one text per tool result or observation."""

    reply: str
    results: tuple[str, ...]


def own_text(message: Message) -> str:
    """A user message as the user typed it."""
    text = _STAMP.sub("", _INTERNAL.sub("", message.content).strip())
    return _RUNTIME_NOTE.sub("", text).strip()


def read_next_state(transition: TransitionJoined) -> NextState:
    """What followed the action of a transition."""
    spoken, results = [], []
    for message in transition.next_messages:
        if message.role == "user" and not _is_observation(message, transition.source):
            spoken.append(own_text(message))
        elif message.role in {"user", "tool"}:
            results.append(message.content)
    return NextState(reply="\n".join(filter(None, spoken)), results=tuple(results))


def _is_observation(message: Message, source: str) -> bool:
    return source in _WITHOUT_USERS or _OBSERVATION.match(message.content) is not None


def read_question(transition: TransitionJoined) -> str:
    """What the user had asked."""
    return "\n".join(filter(None, (own_text(message) for message in transition.context if message.role == "user")))
