"""Messages, normalised: one form for what every agent sends, and a digest that survives how agents resend it.

Clients resend history with small changes: new tool-call ids, `null` for "", parts for plain text, other key orders in
tool arguments, 1 for 1.0. `digest_message` is blind to exactly those, so that matching (streams/conversation.py) can
compare message by message.
"""

import base64
import re
from typing import Any

import orjson

from schemas.errors import RejectedError
from schemas.events import Media, Message, Source, ToolCall
from schemas.identity import digest_bytes, digest_text

UNMATCHED_ROLES = frozenset({"system", "developer"})  # change from call to call in real agents; never matched on
_EXACT_DOUBLES = 2**53  # whole numbers up to here are doubles, all of them
_MAY_CHANGE = re.compile(r"\d[.eE]|-0|\d{16}")  # a number that may be another one when it comes back


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces; equal values give equal texts.

    Raises:  RejectedError: nested more deeply than can be written, though it could be read.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as error:
        message = f"A JSON value cannot be written again: {error}."
        raise RejectedError(message) from error


def canonical_arguments(arguments: str) -> str:
    """Tool-call arguments in canonical form; text that is not JSON stays as it is (models do write such)."""
    try:
        return canonical_json(orjson.loads(arguments))
    except (orjson.JSONDecodeError, RejectedError):
        return arguments


def _media(part: dict[str, Any]) -> Media:
    kind: str = part["type"]
    encoded = _inline_data(part)
    if encoded is None:
        raw = canonical_json({key: value for key, value in part.items() if key != "cache_control"}).encode()
    else:
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError as error:  # binascii.Error is one, and a letter that is no ASCII another
            message = f"A {kind!r} part holds base64 data that does not decode: {error}."
            raise RejectedError(message) from error
    return Media(kind=kind, digest=digest_bytes(raw), num_bytes=len(raw))


def _inline_data(part: dict[str, Any]) -> str | None:
    """The base64 data of a part that holds its bytes, wherever its protocol puts them: one picture is one picture."""
    match part.get(part["type"]), part:
        case (str(url) | {"url": str(url)} | {"file_data": str(url)}, _):  # of Chat Completions: {"image_url": {...}}
            return _data_of(url)
        case _, {"image_url": str(url)} | {"file_data": str(url)}:  # of Responses
            return _data_of(url)
        case _, {"source": {"type": "base64", "data": str(data)}}:  # of Messages
            return data
        case _:
            return None


def _data_of(url: str) -> str | None:
    is_inline = url.startswith("data:") and ";base64," in url[:256]
    return url.split(";base64,", 1)[1] if is_inline else None


def _text(part: dict[str, Any]) -> str:
    text = part.get("text", part.get("refusal", ""))
    if not isinstance(text, str):
        message = f"A {part['type']!r} part must hold its text as a string."
        raise RejectedError(message)
    return text


def _content(content: object) -> tuple[str, tuple[Media, ...]]:
    match content:
        case None:
            return "", ()
        case str():
            return content, ()
        case list():
            texts: list[str] = []
            media: list[Media] = []
            for part in content:
                if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                    raise RejectedError("Each content part must be an object with a 'type', which is a string.")
                if part["type"] in {"text", "input_text", "output_text", "refusal"}:
                    texts.append(_text(part))
                else:
                    media.append(_media(part))
            return "\n".join(texts), tuple(media)
        case _:
            raise RejectedError("Message 'content' must be a string, a list of parts, or null.")


def normalise_message(raw: dict[str, Any]) -> Message:
    """One OpenAI chat message as a `Message`.

    Args:    raw: the client's message object. Unknown keys and reasoning text are left out.
    Raises:  RejectedError: a role, content or tool call of an impossible type, in a sentence that names it.
    """
    role = raw.get("role")
    if role == "function":
        role = "tool"
    if role not in ("system", "developer", "user", "assistant", "tool"):  # no set: a client may send what has no hash
        given = repr(role[:40]) if isinstance(role, str) else f"of type {type(role).__name__}"
        message = f"Message role {given} is not one of system, developer, user, assistant, tool."
        raise RejectedError(message)
    content, media = _content(raw.get("content"))
    calls = raw.get("tool_calls") or ()
    if not isinstance(calls, list | tuple):
        raise RejectedError("Message 'tool_calls' must be a list.")
    tool_calls = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RejectedError("Each tool call must hold a 'function' object with a 'name'.")
        arguments = function.get("arguments") or "{}"
        text = arguments if isinstance(arguments, str) else canonical_json(arguments)
        call_id = call.get("id")
        tool_calls.append(
            ToolCall(
                name=function["name"],
                arguments=canonical_arguments(text),
                id=call_id if isinstance(call_id, str) else None,
            )
        )
    tool_call_id, name = raw.get("tool_call_id"), raw.get("name")
    return Message(
        role=role,
        content=content,
        media=media,
        tool_calls=tuple(tool_calls),
        tool_call_id=tool_call_id if isinstance(tool_call_id, str) else None,
        name=name if isinstance(name, str) else None,
    )


def answered_by(reply: Message) -> Source:
    """Who will answer: the tools that the reply calls, or a person."""
    return "tool" if reply.tool_calls else "chat"


def says_something(reply: Message) -> bool:
    """Whether a reply holds a word, a call or a picture."""
    return bool(reply.content.strip() or reply.tool_calls or reply.media)


def digest_message(message: Message) -> str:
    """Digest of what a message says: role, text, media and tool calls; ids made by clients do not count."""
    return digest_text(
        message.role,
        message.content,
        *(medium.digest for medium in message.media),
        *(part for call in message.tool_calls for part in (call.name, _stable_numbers(call.arguments))),
    )


def _stable_numbers(arguments: str) -> str:
    """Arguments with numbers that stay what they are in a client that has one kind of them: JavaScript's is a double.

    It reads 1.0 and sends 1 back; whole numbers from 2**53 on lose their last digits.
    """
    if _MAY_CHANGE.search(arguments) is None:
        return arguments
    try:
        return canonical_json(_as_doubles(orjson.loads(arguments)))
    except (orjson.JSONDecodeError, RejectedError, RecursionError):
        # Some 300 levels and more: JSON is written only to a depth that Python's stack reaches everywhere, so the same
        # arguments end here every time, by whichever of the two errors.
        return arguments


def _as_doubles(value: Any) -> Any:
    match value:
        case dict():
            return {key: _as_doubles(inner) for key, inner in value.items()}
        case list():
            return [_as_doubles(inner) for inner in value]
        case int() | float() if not isinstance(value, bool):
            double = float(value)
            return int(double) if double.is_integer() and abs(double) <= _EXACT_DOUBLES else double
        case _:
            return value
