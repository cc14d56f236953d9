"""Vercel's AI SDK up to version 6, and later where it is asked for its old spans: `ai.prompt.messages` and so on.

One call of a model is an `ai.generateText.doGenerate`, `ai.streamText.doStream` or the like, within a span of the whole
function. Messages are one JSON text in the SDK's own words, tools one each; the reply is a text, calls, files or, where
an object was asked for, that. Version 7 writes the GenAI conventions.
"""

from typing import Any

import orjson

from schemas.messages import canonical_json
from serving.otlp.model_call import ChatMessage, ModelCall, SpanRefusedError
from serving.otlp.parts import chat_messages, tool_definition
from serving.otlp.spans import Span
from serving.otlp.spellings.request import finish_reason_of, model_of, parameters_of

_MESSAGES, _TOOLS = "ai.prompt.messages", "ai.prompt.tools"
_TEXT, _CALLS, _FILES, _OBJECT = (f"ai.response.{what}" for what in ("text", "toolCalls", "files", "object"))


def holds(span: Span) -> bool:
    """Whether the span tells words in this spelling."""
    return not span.attributes.keys().isdisjoint({_MESSAGES, _TEXT, _CALLS, _FILES, _OBJECT})


def read(span: Span) -> ModelCall:
    """The call.

    Raises:  SpanRefusedError: a value is no list of what it should hold.
    """
    told = span.attributes
    return ModelCall(
        messages=[message for raw in _listed(told.get(_MESSAGES), _MESSAGES) for message in _message(raw)],
        choices=chat_messages("assistant", _reply(span)),
        tools=[_tool(raw) for raw in _listed(told.get(_TOOLS), _TOOLS)],
        model=model_of(told),
        parameters={**parameters_of(told), "seed": told.get("ai.settings.seed")},
        finish_reason=finish_reason_of(told),
    )


def _reply(span: Span) -> list[object]:
    """The parts of a reply, as the SDK writes them in the next call's messages."""
    told = span.attributes
    text = told.get(_TEXT) or told.get(_OBJECT)
    calls = [{"type": "tool-call", **call} for call in _listed(told.get(_CALLS), _CALLS) if isinstance(call, dict)]
    parts = [{"type": "text", "text": text}] if text else []
    return [_part(part) for part in (*parts, *calls, *_listed(told.get(_FILES), _FILES))]


def _json(value: object, key: str) -> Any:
    try:
        return orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        raise SpanRefusedError("unreadable", f"{key} is no JSON; was it cut off?") from None


def _listed(value: object, key: str) -> list[Any]:
    listed = _json(value, key)
    if not isinstance(listed, list | None):
        raise SpanRefusedError("unreadable", f"{key} must be a list")
    return listed or []


def _tool(raw: object) -> object:
    return tool_definition(_json(raw, _TOOLS))


def _message(raw: object) -> list[ChatMessage]:
    if not isinstance(raw, dict):
        raise SpanRefusedError("unreadable", "each message must be an object with a role and a content")
    content = raw.get("content")
    return chat_messages(raw.get("role"), [_part(part) for part in content] if isinstance(content, list) else content)


def _part(raw: object) -> object:
    """A part in the words that every spelling shares (parts.py). Version 4 said `args` and `result`."""
    match raw:
        case {"type": "tool-call", "toolName": name, **call}:
            arguments = call.get("input", call.get("args"))
            return {"type": "tool_call", "name": name, "id": call.get("toolCallId"), "arguments": arguments}
        case {"type": "tool-result", **result}:
            content = _output(result.get("output", result.get("result")))
            return {"type": "tool_result", "tool_use_id": result.get("toolCallId"), "content": content}
        case {"type": "file" | "image", **file}:
            return _file(file.get("data", file.get("image")), str(file.get("mediaType", file.get("mimeType", ""))))
        case _:
            return raw


def _output(output: object) -> str:
    """What a tool gave, as the SDK's providers write it to a model."""
    match output:
        case str(text) | {"type": "text" | "error-text", "value": str(text)}:
            return text
        case {"type": "execution-denied", **denied}:
            return str(denied.get("reason") or "Tool execution denied.")
        case {"type": "json" | "error-json" | "content", "value": value} | value:
            return canonical_json(value)


def _file(data: object, media_type: str) -> ChatMessage:
    """A file: its bytes in base64, its address, or whatever else names it."""
    modality = media_type.partition("/")[0] or "image"
    match data:
        case str(url) | {"url": str(url)} if url.startswith(("http:", "https:", "data:")):
            return {"type": "uri", "modality": modality, "uri": url}
        case str(content) | {"data": str(content)}:
            return {"type": "blob", "modality": modality, "mime_type": media_type, "content": content}
        case _:
            return {"type": "uri", "modality": modality, "uri": canonical_json(data)}
