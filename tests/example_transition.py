"""`example_transition`: an answer and what came next, for tests of those who read nothing else of it."""

from typing import Any

from schemas.events import Message, TransitionJoined


def example_transition(*next_messages: Message, **fields: Any) -> TransitionJoined:
    values: dict[str, Any] = {
        "kind": "messages",
        "reply": Message(role="assistant", content="an answer"),
        "context": (),
        **fields,
    }
    return TransitionJoined(
        id="t",
        time_ms=0,
        policy="p",
        action_id="a",
        next_state_id="n",
        turn=0,
        next_messages=next_messages,
        **values,
    )
