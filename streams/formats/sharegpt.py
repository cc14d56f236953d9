"""ShareGPT's JSON: `{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}`.

A list of them, or one a line. Exports differ in who speaks how; the names in `ROLES` are those in use.
"""

from typing import Any

import orjson

from schemas.errors import RejectedError
from schemas.messages import canonical_json, normalise_message
from streams.formats.old_chats import OldConversation, Place, Said
from streams.formats.times import time_of

MARK = "conversations"
ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "assistant",  # its value is the call, as JSON
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}


def read_conversation(raw: dict[str, Any], place: Place) -> OldConversation:
    """The conversation of one object.

    Raises:  RejectedError: it has no conversations, or somebody speaks who is not in `ROLES`.
    """
    messages = raw.get(MARK)
    if not isinstance(messages, list) or not messages:
        raise RejectedError('It has no "conversations": write a list of messages with "from" and "value".')
    said = [_said(message, number) for number, message in enumerate(messages, start=1)]
    if isinstance(system := raw.get("system"), str) and system:
        said = [Said(message=normalise_message({"role": "system", "content": system})), *said]
    return OldConversation(place=place, said=tuple(said), tools=canonical_json(_tools(raw.get("tools"))))


def _said(raw: object, number: int) -> Said:
    speaker = raw.get("from") if isinstance(raw, dict) else None
    role = ROLES.get(speaker.lower()) if isinstance(speaker, str) else None
    if role is None or not isinstance(raw, dict):
        raise RejectedError(f"Message {number} is from {str(speaker)[:40]!r}: write one of {', '.join(ROLES)}.")
    value = raw.get("value")
    if value is not None and not isinstance(value, str):
        raise RejectedError(f'The "value" of message {number} is no text: write a string.')
    spoken: dict[str, Any] = {"role": role, "content": value}
    if speaker == "function_call" and (call := _call(value or "")) is not None:
        spoken = {"role": role, "content": None, "tool_calls": [{"function": call}]}
    return Said(message=normalise_message(spoken), time_ms=time_of(raw))


def _call(text: str) -> dict[str, Any] | None:
    """The call that a text is; None where it is none, and stays the words that it is."""
    try:
        call = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return call if isinstance(call, dict) and isinstance(call.get("name"), str) else None


def _tools(raw: object) -> list[dict[str, Any]]:
    """The tools, which some exports write as JSON in a string."""
    try:
        tools = orjson.loads(raw) if isinstance(raw, str) and raw.strip() else raw or []
    except orjson.JSONDecodeError as error:
        raise RejectedError(f'"tools" is no JSON ({error}): write a list of tools, or leave it out.') from error
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RejectedError('"tools" is no list of objects: write a list of tools, or leave it out.')
    return tools
