"""OpenAI's `messages`, as fine-tuning files and request logs hold them: `{"messages": [...], "tools": [...]}` a line.

Also read: the older `functions` and `function_call`, `user` (whom the conversation is about), `model`, and a time
beside a message or beside all of them.
"""

from typing import Any

from schemas.errors import RejectedError
from schemas.messages import canonical_json, normalise_message
from streams.formats.old_chats import OldConversation, Place, Said
from streams.formats.times import time_of

MARK = "messages"


def read_conversation(raw: dict[str, Any], place: Place) -> OldConversation:
    """The conversation of one object.

    Raises:  RejectedError: it has no messages, or one that is none.
    """
    messages = raw.get(MARK)
    if not isinstance(messages, list) or not messages:
        raise RejectedError('It has no "messages": write a list of messages with "role" and "content".')
    said = [_said(message, number) for number, message in enumerate(messages, start=1)]
    model, subject, start_ms = raw.get("model"), raw.get("user"), time_of(raw)
    first, *rest = (_by(one, model) for one in said)
    if first.time_ms is None:
        first = Said(message=first.message, time_ms=start_ms, model=first.model)
    return OldConversation(
        place=place,
        said=(first, *rest),
        tools=canonical_json(_tools(raw)),
        subject=subject if isinstance(subject, str) else "",
    )


def _said(raw: object, number: int) -> Said:
    if not isinstance(raw, dict):
        raise RejectedError(f'Message {number} is no object: write "role" and "content".')
    try:
        return Said(message=normalise_message(_today(raw)), time_ms=time_of(raw))
    except RejectedError as error:
        raise RejectedError(f"Message {number} cannot be read. {error}") from error


def _by(said: Said, model: object) -> Said:
    is_reply = said.message.role == "assistant" and isinstance(model, str)
    return Said(message=said.message, time_ms=said.time_ms, model=str(model)) if is_reply else said


def _today(raw: dict[str, Any]) -> dict[str, Any]:
    """The message with its call as OpenAI writes it since 2023."""
    call = raw.get("function_call")
    return raw if call is None or raw.get("tool_calls") else {**raw, "tool_calls": [{"function": call}]}


def _tools(raw: dict[str, Any]) -> list[dict[str, Any]]:
    functions = raw.get("functions") or []
    if not isinstance(functions, list):
        raise RejectedError('"functions" is no list: write a list of functions, or leave it out.')
    tools = raw.get("tools") or [{"type": "function", "function": function} for function in functions]
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RejectedError('"tools" is no list of objects: write OpenAI\'s list of tools, or leave it out.')
    return tools
