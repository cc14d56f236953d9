"""The GenAI conventions up to 1.36: one span event per message, `gen_ai.user.message` ... `gen_ai.choice`.

`content`, `tool_calls` and a choice's `message` are JSON texts where they are more than a text; Strands writes
Bedrock's parts in them, the Azure SDKs the whole message into `gen_ai.event.content`. Older still are two events,
`gen_ai.content.prompt` and `gen_ai.content.completion`, with all messages in one JSON text each.
"""

from typing import Any

import orjson

from serving.otlp.model_call import ChatMessage, ModelCall, SpanRefusedError
from serving.otlp.parts import chat_messages, unpacked
from serving.otlp.spans import Span, SpanEvent
from serving.otlp.spellings.request import finish_reason_of, model_of, parameters_of

_ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
_CHOICE = "gen_ai.choice"
_PROMPT, _COMPLETION = "gen_ai.content.prompt", "gen_ai.content.completion"


def holds(span: Span) -> bool:
    """Whether the span tells words in this spelling."""
    return any(event.name in _ROLES or event.name in {_CHOICE, _PROMPT, _COMPLETION} for event in span.events)


def read(span: Span) -> ModelCall:
    """The call.

    Raises:  SpanRefusedError: events were left out, or hold no messages.
    """
    if span.num_dropped:
        message = f"its process left out {span.num_dropped} events; set OTEL_SPAN_EVENT_COUNT_LIMIT=100000 there"
        raise SpanRefusedError("truncated", message)
    messages: list[ChatMessage] = []
    choices: list[ChatMessage] = []
    reasons: list[str] = []
    for event in span.events:
        told = _told(event)
        if event.name in _ROLES:
            messages += _message(told, _ROLES[event.name])
        elif event.name == _CHOICE:
            choices += _message(_choice(told), "assistant")
            reasons.append(reason if isinstance(reason := told.get("finish_reason"), str) else "")
        elif event.name == _PROMPT:
            messages += _all(told.get("gen_ai.prompt"), "user")
        elif event.name == _COMPLETION:
            choices += _all(told.get("gen_ai.completion"), "assistant")
    return ModelCall(
        messages=messages,
        choices=choices,
        model=model_of(span.attributes),
        parameters=parameters_of(span.attributes),
        finish_reason=next(iter(reasons), "") or finish_reason_of(span.attributes),
    )


def _told(event: SpanEvent) -> dict[str, Any]:
    whole = _from_json(event.attributes.get("gen_ai.event.content"))
    return {**event.attributes, **whole} if isinstance(whole, dict) else event.attributes


def _choice(told: dict[str, Any]) -> dict[str, Any]:
    """A choice's message, which is an object, its text, its parts, or the choice itself."""
    match unpacked(_from_json(told.get("message"))):
        case None:
            return told
        case dict(message):
            return message
        case content:
            return {**told, "content": content}


def _message(told: dict[str, Any], role: str) -> list[ChatMessage]:
    calls = _from_json(told.get("tool_calls"))
    return chat_messages(
        told.get("role") or role,
        unpacked(told.get("content")),
        tool_calls=calls if isinstance(calls, list) else None,
        tool_call_id=told.get("id") if role == "tool" else None,
    )


def _all(value: object, role: str) -> list[ChatMessage]:
    """The messages in one text, which is either a JSON list of them or what one of them says."""
    match _from_json(value):
        case None:
            return []
        case [dict(), *_] as listed if all(isinstance(one, dict) for one in listed):
            return [message for one in listed for message in _message(one, role)]
        case _:
            return chat_messages(role, value)


def _from_json(value: object) -> Any:
    """What a text says as JSON, the text where it is none; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value) if value[:1] in {"{", "["} else value
    except orjson.JSONDecodeError:
        return value
