"""Message parts of every spelling as OpenAI's chat messages.

What other APIs write as parts of one message, chat completions write as messages of their own: a tool's result, that
is. Known are the parts of the GenAI conventions (`tool_call`, `tool_call_response`, `blob`, `uri`), Anthropic's
(`tool_use`, `tool_result`), Bedrock's, which have no type (`toolUse`, `toolResult`), and OpenAI's own.
"""

from typing import Any

import orjson

from schemas.messages import canonical_json
from serving.otlp.model_call import ChatMessage, SpanRefusedError

_ROLES = {"model": "assistant", "ai": "assistant", "agent": "assistant", "human": "user", "function": "tool"}
_SCHEMAS = ("parameters", "inputSchema", "input_schema")  # in OpenAI's words, in MCP's and Vercel's, in Anthropic's
_UNSAID = ("reasoning", "thinking", "redacted_thinking")  # a model's thoughts are no part of what it answered


def chat_messages(
    role: object, content: object, *, tool_calls: object = None, tool_call_id: object = None
) -> list[ChatMessage]:
    """A message as OpenAI writes it: one for each tool result in it, then one for the rest, if there is any.

    Args:    content: a text, a list of parts, or None; anything else is left to `normalise_message` to refuse, as are
             odd ones among the calls.
    Raises:  SpanRefusedError: the calls are no list.
    """
    if not isinstance(tool_calls, list | None):
        raise SpanRefusedError("unreadable", "the tool calls of a message must be a list")
    parts = content if isinstance(content, list) else [content]
    said: list[object] = []
    calls = list(tool_calls or ())
    results: list[ChatMessage] = []
    for part in parts:
        if (call := _call(part)) is not None:
            calls.append(call)
        elif (result := _result(part)) is not None:
            results.append(result)
        elif not (isinstance(part, dict) and part.get("type") in _UNSAID):
            said.append(_said(part))
    if results and not any(said) and not calls:
        return results
    message: ChatMessage = {"role": _ROLES.get(role, role) if isinstance(role, str) else role}
    message["content"] = said if isinstance(content, list) else said[0] if said else None
    message |= {"tool_calls": calls} if calls else {}
    message |= {"tool_call_id": tool_call_id} if tool_call_id else {}
    return [*results, message]


def unpacked(content: object) -> object:
    """A list of parts that somebody wrote as a JSON text, as the list; any other content as it is."""
    if not isinstance(content, str) or not content.startswith("[{"):
        return content
    try:
        parts = orjson.loads(content)
    except orjson.JSONDecodeError:
        return content
    return parts if all(isinstance(part, dict) and _is_part(part) for part in parts) else content


def _is_part(part: dict[str, Any]) -> bool:
    return isinstance(part.get("type"), str) or not part.keys().isdisjoint({"text", "toolUse", "toolResult"})


def tool_call(name: object, arguments: object, call_id: object) -> ChatMessage:
    """A call as OpenAI writes it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool_definition(raw: object) -> object:
    """A tool as OpenAI's chat completions offer it: under `function` what it is, with its schema as `parameters`."""
    if not isinstance(raw, dict) or "function" in raw or raw.get("type", "function") != "function":
        return raw
    schema = next((raw[key] for key in _SCHEMAS if raw.get(key) is not None), None)
    described = {"name": raw.get("name"), "description": raw.get("description"), "parameters": schema}
    return {"type": "function", "function": {key: value for key, value in described.items() if value is not None}}


def _call(part: object) -> ChatMessage | None:
    match part:
        case {"type": "tool_call", "name": name, **call}:
            return tool_call(name, call.get("arguments"), call.get("id"))
        case {"type": "tool_use", "name": name, **call}:
            return tool_call(name, call.get("input"), call.get("id"))
        case {"toolUse": {"name": name} as use}:
            return tool_call(name, use.get("input"), use.get("toolUseId"))
        case _:
            return None


def _result(part: object) -> ChatMessage | None:
    match part:
        case {"type": "tool_call_response", **rest}:
            return _tool_message(rest.get("response", rest.get("result")), rest.get("id"))
        case {"type": "tool_result", **rest}:
            return _tool_message(rest.get("content"), rest.get("tool_use_id"))
        case {"toolResult": dict(result)}:
            return _tool_message(result.get("content"), result.get("toolUseId"))
        case _:
            return None


def _tool_message(content: object, call_id: object) -> ChatMessage:
    if isinstance(content, list) and all(isinstance(part, dict) and _is_part(part) for part in content):
        content = [_said(part) for part in content]
    elif not isinstance(content, str | None):
        content = canonical_json(content)
    return {"role": "tool", "content": content, "tool_call_id": call_id}


def _said(part: object) -> object:
    """A part that is no tool's, as OpenAI writes it."""
    match part:
        case {"type": "text", "content": text}:
            return {"type": "text", "text": text}
        case {"type": "blob", "content": content, **rest}:
            return _media(rest.get("modality"), f"data:{rest.get('mime_type')};base64,{content}")
        case {"type": "uri" | "file", **rest}:
            return _media(rest.get("modality"), rest.get("uri") or rest.get("file_id"))
        case {"text": text, **rest} if "type" not in rest:
            return {"type": "text", "text": text}
        case _:
            return part


def _media(modality: object, url: object) -> ChatMessage:
    kind = f"{modality or 'file'}_url"
    return {"type": kind, kind: {"url": url}}
