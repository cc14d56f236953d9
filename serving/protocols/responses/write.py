"""Replies in the form of OpenAI's Responses: the response object and its output items.

Owns the response half of the protocol, but for the order of a stream's events (`stream.py`). Pure: consumes what was
drawn, produces JSON values.
"""

from collections.abc import Sequence
from typing import Any

from schemas.events import ToolCall
from serving.api_errors import ApiError
from serving.protocols.openai import token_json
from serving.protocols.responses.items import call_item_id, message_item_id
from serving.protocols.wire import Head, JsonObject, Usage, usage_of
from serving.reply_ids import reply_id
from serving.turn import ChoiceFinished, TokenLogprob


def response(head: Head, choice: ChoiceFinished) -> JsonObject:
    """A whole response."""
    is_whole = choice.action.finish_reason != "length"
    return {
        **_response(head, "completed" if is_whole else "incomplete"),
        "incomplete_details": None if is_whole else {"reason": "max_output_tokens"},
        "output": output_items(head, choice),
        "usage": _usage(usage_of(head, [choice])),
    }


def begun_response(head: Head) -> JsonObject:
    """A response before its first token."""
    return _response(head, "in_progress")


def failed_response(head: Head, error: ApiError) -> JsonObject:
    """A response that broke off."""
    return {**_response(head, "failed"), "error": {"code": "server_error", "message": str(error)}}


def output_items(head: Head, choice: ChoiceFinished) -> list[JsonObject]:
    """The items of a reply: its text, and its tool calls. A reply without either is a message without text."""
    action = choice.action
    status = "incomplete" if action.finish_reason == "length" else "completed"
    calls = [call_item(head, n, call, status=status) for n, call in enumerate(action.reply.tool_calls)]
    if calls and not action.reply.content:
        return calls
    part = text_part(action.reply.content, choice.logprobs)
    return [message_item(head, [part], status=status), *calls]


def message_item(head: Head, content: list[JsonObject], *, status: str) -> JsonObject:
    """The item that holds a reply's text."""
    item_id = message_item_id(head.action_ids[0])
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def call_item(head: Head, number: int, call: ToolCall, *, status: str) -> JsonObject:
    """The item that holds a tool call."""
    return {
        "id": call_item_id(head.action_ids[0], number),
        "type": "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def text_part(text: str, logprobs: Sequence[TokenLogprob] = ()) -> JsonObject:
    """The content of a message item."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(map(token_json, logprobs))}


def _response(head: Head, status: str) -> dict[str, Any]:
    return {
        "id": reply_id("resp_", head.action_ids[0]),
        "object": "response",
        "created_at": head.created_s,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": head.call.model,
        "temperature": head.call.sampling.temperature,
        "top_p": head.call.sampling.top_p,
        "output": [],
        "usage": None,
        **head.call.form,
    }


def _usage(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
