"""OpenLLMetry up to 0.54: an attribute per word, `gen_ai.prompt.0.role`, `gen_ai.completion.0.content` ...

Contents of several parts are JSON texts; tools are `llm.request.functions.0.name` and so on.
"""

from typing import Any

import orjson

from serving.otlp.flat import has, tree
from serving.otlp.model_call import ChatMessage, ModelCall, SpanRefusedError
from serving.otlp.parts import chat_messages, tool_call, tool_definition, unpacked
from serving.otlp.spans import Span
from serving.otlp.spellings.request import model_of, parameters_of

_PROMPT, _COMPLETION, _TOOLS = "gen_ai.prompt", "gen_ai.completion", "llm.request.functions"


def holds(span: Span) -> bool:
    """Whether the span tells words in this spelling."""
    return has(span.attributes, _PROMPT) or has(span.attributes, _COMPLETION)


def read(span: Span) -> ModelCall:
    """The call.

    Raises:  SpanRefusedError: the messages are not whole, or no messages.
    """
    prompts, completions = tree(span, _PROMPT), tree(span, _COMPLETION)
    reason = completions[0].get("finish_reason") if completions and isinstance(completions[0], dict) else None
    return ModelCall(
        messages=[message for raw in prompts for message in _message(raw, "user")],
        choices=[message for raw in completions for message in _message(raw, "assistant")],
        tools=[_tool(raw) for raw in tree(span, _TOOLS)],
        model=model_of(span.attributes),
        parameters=parameters_of(span.attributes),
        finish_reason=reason if isinstance(reason, str) else "",
    )


def _message(raw: object, role: str) -> list[ChatMessage]:
    if not isinstance(raw, dict):
        raise SpanRefusedError("unreadable", "each message must have a role and a content")
    calls = raw.get("tool_calls")
    return chat_messages(
        raw.get("role", role),
        unpacked(raw.get("content")),
        tool_calls=[
            tool_call(call.get("name"), call.get("arguments"), call.get("id"))
            for call in (calls if isinstance(calls, list) else ())
            if isinstance(call, dict)
        ],
        tool_call_id=raw.get("tool_call_id"),
    )


def _tool(raw: object) -> Any:
    if isinstance(raw, dict) and isinstance(schema := raw.get("parameters"), str):
        try:
            raw = {**raw, "parameters": orjson.loads(schema)}
        except orjson.JSONDecodeError:
            raise SpanRefusedError("unreadable", "a tool's parameters are no JSON; were they cut off?") from None
    return tool_definition(raw)
