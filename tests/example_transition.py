"""`example_transition`: a chat's answer and what came next, for tests of those who read nothing else of it."""

from dataclasses import replace
from typing import Any

from schemas.events import Message, TransitionJoined
from tests.example_events import TRANSITION

ANSWERED: dict[str, Any] = {"source": "chat", "context": (), "reply": Message(role="assistant", content="an answer")}


def example_transition(*next_messages: Message, **fields: Any) -> TransitionJoined:
    return replace(TRANSITION, next_messages=next_messages, **{**ANSWERED, **fields})
