"""OpenInference: an attribute per word, `llm.input_messages.0.message.role`, `llm.output_messages...` and so on.

Contents of several parts are `message.contents.0.message_content.type` ...; tools and the request's parameters are
JSON texts.
"""

from typing import Any

import orjson

from serving.otlp.flat import has, tree
from serving.otlp.model_call import ChatMessage, ModelCall, SpanRefusedError
from serving.otlp.parts import chat_messages, tool_call
from serving.otlp.spans import Span
from serving.otlp.spellings.request import first

_INPUT, _OUTPUT, _TOOLS = "llm.input_messages", "llm.output_messages", "llm.tools"
_PARAMETERS = "llm.invocation_parameters"
_MODEL_NAMES = ("llm.response.model_name", "llm.model_name", "llm.request.model_name")


def holds(span: Span) -> bool:
    """Whether the span tells words in this spelling."""
    return has(span.attributes, _INPUT) or has(span.attributes, _OUTPUT)


def read(span: Span) -> ModelCall:
    """The call.

    Raises:  SpanRefusedError: the messages are not whole, or no messages.
    """
    parameters = _json(span.attributes.get(_PARAMETERS) or "{}", _PARAMETERS)
    parameters = parameters if isinstance(parameters, dict) else {}
    model, reason = first(span.attributes, _MODEL_NAMES), span.attributes.get("llm.finish_reason")
    return ModelCall(
        messages=[message for raw in tree(span, _INPUT) for message in _message(raw)],
        choices=[message for raw in tree(span, _OUTPUT) for message in _message(raw)],
        tools=[_tool(raw) for raw in tree(span, _TOOLS)],
        model=model if isinstance(model, str) else "",
        parameters={**parameters, "max_tokens": parameters.get("max_completion_tokens", parameters.get("max_tokens"))},
        finish_reason=reason if isinstance(reason, str) else "",
    )


def _message(raw: object) -> list[ChatMessage]:
    match raw:
        case {"message": dict(message)}:
            pass
        case _:
            raise SpanRefusedError("unreadable", "each message must have a role and a content")
    calls, contents = message.get("tool_calls"), message.get("contents")
    return chat_messages(
        message.get("role"),
        [_part(part) for part in contents] if isinstance(contents, list) else message.get("content"),
        tool_calls=[_call(call) for call in calls] if isinstance(calls, list) else None,
        tool_call_id=message.get("tool_call_id"),
    )


def _call(raw: object) -> ChatMessage:
    match raw:
        case {"tool_call": {"function": {"name": name, **function}, **call}}:
            return tool_call(name, function.get("arguments"), call.get("id"))
        case _:
            raise SpanRefusedError("unreadable", "each tool call must have a function's name")


def _part(raw: object) -> object:
    match raw:
        case {"message_content": {"type": "text" | "input_text" | "output_text", "text": text}}:
            return {"type": "text", "text": text}
        case {"message_content": {"type": "image", "image": {"image": {"url": url}}}}:
            return {"type": "image_url", "image_url": {"url": url}}
        case {"message_content": dict(part)}:
            return part
        case _:
            return raw


def _tool(raw: object) -> Any:
    match raw:
        case {"tool": {"json_schema": str(schema)}}:
            return _json(schema, _TOOLS)
        case _:
            raise SpanRefusedError("unreadable", "each tool must have a JSON schema")


def _json(value: object, key: str) -> Any:
    try:
        return orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        raise SpanRefusedError("unreadable", f"{key} is no JSON; was it cut off?") from None
