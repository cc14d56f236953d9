"""The GenAI conventions since 1.37: `gen_ai.input.messages` and `gen_ai.output.messages`, of a role and parts each.

Values are structured, or JSON texts of the same. They stand on the span, or on its event
`gen_ai.client.inference.operation.details`. The official instrumentations, OpenLLMetry from 0.55 on, Strands and
Vercel's AI SDK from 7 on write so; the schemas are in the conventions' repository (docs/gen-ai).
"""

from typing import Any

import orjson

from serving.otlp.model_call import ChatMessage, ModelCall, SpanRefusedError
from serving.otlp.parts import chat_messages, tool_definition
from serving.otlp.spans import Attributes, Span, with_details
from serving.otlp.spellings.request import finish_reason_of, model_of, parameters_of

_INPUT, _OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
_SYSTEM, _TOOLS = "gen_ai.system_instructions", "gen_ai.tool.definitions"


def holds(span: Span) -> bool:
    """Whether the span tells words in this spelling."""
    told = with_details(span)
    return _INPUT in told or _OUTPUT in told


def read(span: Span) -> ModelCall:
    """The call.

    Raises:  SpanRefusedError: a value is no list of what it should hold.
    """
    told = with_details(span)
    replies = _listed(told, _OUTPUT)
    system = _listed(told, _SYSTEM)
    messages = [*(chat_messages("system", system) if system else ()), *_messages(_listed(told, _INPUT))]
    return ModelCall(
        messages=messages,
        choices=_messages(replies),
        tools=[tool_definition(tool) for tool in _listed(told, _TOOLS)],
        model=model_of(told),
        parameters=parameters_of(told),
        finish_reason=_finish_reason(replies) or finish_reason_of(told),
    )


def _listed(told: Attributes, key: str) -> list[Any]:
    value = told.get(key)
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            if key == _SYSTEM:  # a plain text is common
                return [{"type": "text", "content": value}]
            raise SpanRefusedError("unreadable", f"{key} is no JSON; was it cut off?") from None
    match value:
        case None:
            return []
        case list():
            return value
        case dict():
            return [value]
        case str():
            return [{"type": "text", "content": value}] if key == _SYSTEM else [{"role": "user", "content": value}]
        case _:
            raise SpanRefusedError("unreadable", f"{key} must be a list")


def _messages(raw: list[Any]) -> list[ChatMessage]:
    return [message for one in raw for message in _message(one)]


def _message(raw: object) -> list[ChatMessage]:
    if not isinstance(raw, dict):
        raise SpanRefusedError("unreadable", "each message must be an object with a role and parts")
    return chat_messages(
        raw.get("role"),
        raw.get("parts", raw.get("content")),
        tool_calls=raw.get("tool_calls"),
        tool_call_id=raw.get("tool_call_id"),
    )


def _finish_reason(replies: list[Any]) -> str:
    first = replies[0] if replies else None
    reason = first.get("finish_reason") if isinstance(first, dict) else None
    return reason if isinstance(reason, str) else ""
