"""Old conversations in a few letters, and an exact tokenizer for them."""

import json
from collections.abc import Sequence
from pathlib import Path

from infra.imports.turns import Target
from schemas.events import Message
from streams.formats.old_chats import OldConversation, Place, Said

ROLES = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
TARGET = Target(policy="assistant", context_length=10_000)


def said(text: str, time_ms: int | None = None) -> Said:
    """One message: "u:hello" is a user's."""
    role, _, content = text.partition(":")
    return Said(message=Message(role=ROLES[role], content=content), time_ms=time_ms)  # type: ignore[arg-type]


def talk(*texts: str, line: int = 1, **own: object) -> OldConversation:
    place = Place(file="chats.jsonl", line=line)
    return OldConversation(place=place, said=tuple(map(said, texts)), **own)  # type: ignore[arg-type]


def write_chats(path: Path, *talks: Sequence[str]) -> Path:
    """A file of OpenAI's form, a talk a line."""
    rows = []
    for texts in talks:
        parts = (text.partition(":") for text in texts)
        rows.append({"messages": [{"role": ROLES[role], "content": content} for role, _, content in parts]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
