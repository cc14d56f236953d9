"""`message_of` and `reply_of`: what a program has in hand of OpenAI's client, as our words.

Programs hold messages as dicts or as the client's objects (pydantic models), and a reply as text, a message, or a whole
chat completion. Consumes any of them, produces normalised messages; knows nothing of events. What is none of these is
refused by its name: to guess would record an empty answer, or words without the calls that they came with. Of
Anthropic's form what is written alike is read, texts and all that surrounds them; its tool calls and results are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from schemas.errors import RejectedError
from schemas.events import FinishReason, Message
from schemas.messages import canonical_json, normalise_message, says_something
from streams.record_arguments import whole
from streams.sampling import finish_reason_of

_LISTS = ("content", "tool_calls")
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")  # parts that no client sends back as they were
_GIVE = "give OpenAI's chat form: content, and tool_calls or messages of role tool."
_CALLS = ("tool_use", "tool_result", "server_tool_use", "function_call", "function_call_output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. `model` is empty where it does not say who gave it."""

    message: Message
    finish_reason: FinishReason
    model: str = ""


def message_of(raw: object) -> Message:
    """A message: a dict of OpenAI's form, or an object of its client.

    Raises:  RejectedError: it is neither, or one of an impossible kind.
    """
    return _normalised(_as_dict(raw))


def reply_of(raw: object) -> Reply:
    """An answer: text, a message, or a chat completion, of which the first choice counts.

    Raises:  RejectedError: it is none of these, or says nothing.
    """
    given = {"content": raw} if isinstance(raw, str) else _as_dict(raw)
    match given:
        case {"choices": [{"message": dict() as said, **choice}, *_]}:
            return _reply(said, choice.get("finish_reason"), given.get("model"))
        case {"choices": _}:
            raise RejectedError(
                "A chat completion must hold a choice with a message; record a stream when it has ended."
            )
        case {"content": _} | {"tool_calls": _}:
            return _reply(given, given.get("stop_reason"), given.get("model"))
        case {"output": _}:
            raise RejectedError(f"A reply in the form of OpenAI's Responses is not read; {_GIVE}")
        case _:
            names = ", ".join(sorted(map(str, given)))[:100]
            message = (
                f"A reply must hold content, tool_calls or choices, and this one holds {names or 'nothing'}; {_GIVE}"
            )
            raise RejectedError(message)


def tools_of(request: Mapping[str, Any]) -> str:
    """The tools that a request offers, as canonical JSON."""
    tools = request.get("tools")
    return canonical_json(tools) if isinstance(tools, list) else "[]"


def _reply(message: dict[str, Any], finish_reason: object, model: object) -> Reply:
    said = _normalised({"role": "assistant", **message})
    if said.role != "assistant":
        reason = f"A reply is an assistant's message, and this is of role {said.role!r}."
        raise RejectedError(reason)
    if not says_something(said):
        raise RejectedError("The reply holds no word and no tool call.")
    return Reply(
        message=said,
        finish_reason=finish_reason_of(finish_reason, said),
        model=model if isinstance(model, str) else "",
    )


def _normalised(given: dict[str, Any]) -> Message:
    """Programs also put the client's objects into dicts of their own."""
    lists = {name: [*map(_as_dict, given[name])] for name in _LISTS if isinstance(given.get(name), list)}
    for part in lists.get("content", ()):
        if part.get("type") in _CALLS:
            message = f"A message with a part {part['type']!r} is not read; {_GIVE}"
            raise RejectedError(message)
    if "content" in lists:
        lists["content"] = [part for part in lists["content"] if part.get("type") not in _THOUGHTS]
    return _whole(normalise_message({**given, **lists}))


def _whole(said: Message) -> Message:
    """It, with whole characters only: what a program holds need not be text that a record holds."""
    calls = tuple(
        replace(call, name=whole(call.name), arguments=whole(call.arguments), id=call.id and whole(call.id))
        for call in said.tool_calls
    )
    return replace(
        said,
        content=whole(said.content),
        tool_calls=calls,
        tool_call_id=said.tool_call_id and whole(said.tool_call_id),
        name=said.name and whole(said.name),
    )


def _as_dict(raw: object) -> dict[str, Any]:
    if isinstance(raw, dict):
        return raw
    dump = getattr(raw, "model_dump", None)  # pydantic's, without needing pydantic to be the same one
    found = dump() if callable(dump) else None
    if not isinstance(found, dict):
        message = f"A message or reply of type {type(raw).__name__} cannot be read; give OpenAI's form, as a dict."
        raise RejectedError(message)
    return found
