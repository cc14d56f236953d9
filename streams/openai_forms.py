"""`message_of` and `reply_of`: what a program has in hand of OpenAI's client, as our words.

Programs hold messages as dicts or as the client's objects (pydantic models), and a reply as text, a message, or a whole
chat completion. Consumes any of them, produces normalised messages; knows nothing of events.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import RejectedError
from schemas.events import FinishReason, Message
from schemas.messages import canonical_json, normalise_message
from streams.sampling import finish_reason_of


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
    return normalise_message(_as_dict(raw))


def reply_of(raw: object) -> Reply:
    """An answer: text, a message, or a chat completion, of which the first choice counts.

    Raises:  RejectedError: it is none of these.
    """
    if isinstance(raw, str):
        return _reply({"content": raw}, None)
    given = _as_dict(raw)
    if "choices" not in given:
        return _reply(given, None)
    match given["choices"]:
        case [{"message": dict() as message, **choice}, *_]:
            model = given.get("model")
            return _reply(message, choice.get("finish_reason"), model if isinstance(model, str) else "")
        case _:
            raise RejectedError(
                "A chat completion must hold a choice with a message; record a stream when it has ended."
            )


def tools_of(request: Mapping[str, Any]) -> str:
    """The tools that a request offers, as canonical JSON."""
    tools = request.get("tools")
    return canonical_json(tools) if isinstance(tools, list) else "[]"


def _reply(message: dict[str, Any], finish_reason: object, model: str = "") -> Reply:
    said = normalise_message({"role": "assistant", **message})
    if said.role != "assistant":
        reason = f"A reply is an assistant's message, and this is of role {said.role!r}."
        raise RejectedError(reason)
    return Reply(message=said, finish_reason=finish_reason_of(finish_reason, said), model=model)


def _as_dict(raw: object) -> dict[str, Any]:
    if isinstance(raw, dict):
        return raw
    dump = getattr(raw, "model_dump", None)  # pydantic's, without needing pydantic to be the same one
    found = dump() if callable(dump) else None
    if not isinstance(found, dict):
        message = f"A message or reply of type {type(raw).__name__} cannot be read; give OpenAI's form, as a dict."
        raise RejectedError(message)
    return found
