"""Replies in the form of OpenAI's Responses: the response object and its output items.

Owns the response half of the protocol, but for the order of a stream's events (`stream.py`). Pure: consumes what was
drawn, produces JSON values.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from schemas.events import FinishReason, Message, ToolCall
from serving.api_errors import ApiError
from serving.protocols.openai import token_json
from serving.protocols.responses.items import call_item_id, message_item_id
from serving.protocols.wire import Head, JsonObject, Usage, usage_of
from serving.reply_ids import reply_id
from serving.turn import ChoiceFinished, TokenLogprob

PREFIX = "resp_"


def response(head: Head, choice: ChoiceFinished) -> JsonObject:
    """A whole response."""
    return {
        **_response(head, "completed"),
        **ending(choice.action.finish_reason),
        "output": output_items(head.action_ids[0], choice.action, choice.logprobs),
        "usage": usage_json(usage_of(head, [choice])),
    }


def begun_response(head: Head) -> JsonObject:
    """A response before its first token."""
    return _response(head, "in_progress")


def failed_response(head: Head, error: ApiError) -> JsonObject:
    """A response that broke off."""
    return {**_response(head, "failed"), "error": {"code": "server_error", "message": str(error)}}


def ending(finish_reason: FinishReason) -> JsonObject:
    """The fields that say whether and why a response is not whole."""
    match finish_reason:
        case "length":
            return {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        case "aborted":
            return {"status": "cancelled", "incomplete_details": None}
        case "error":
            return {"status": "failed", "incomplete_details": None}
        case _:
            return {"status": "completed", "incomplete_details": None}


class Replied(Protocol):
    """What the items of a reply are made of: an action as it is recorded, or as it is kept open."""

    @property
    def reply(self) -> Message:
        """What it said."""

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended."""


def output_items(action_id: str, action: Replied, logprobs: Sequence[TokenLogprob] = ()) -> list[JsonObject]:
    """The items of a reply: its text, and its tool calls. A reply without either is a message without text."""
    status = "completed" if action.finish_reason in {"stop", "tool_calls"} else "incomplete"
    calls = [call_item(action_id, n, call, status=status) for n, call in enumerate(action.reply.tool_calls)]
    if calls and not action.reply.content:
        return calls
    part = text_part(action.reply.content, logprobs)
    return [message_item(action_id, [part], status=status), *calls]


def message_item(action_id: str, content: list[JsonObject], *, status: str) -> JsonObject:
    """The item that holds a reply's text."""
    item_id = message_item_id(action_id)
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def call_item(action_id: str, number: int, call: ToolCall, *, status: str) -> JsonObject:
    """The item that holds a tool call."""
    return {
        "id": call_item_id(action_id, number),
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
        "id": reply_id(PREFIX, head.action_ids[0]),
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


def usage_json(usage: Usage) -> JsonObject:
    """What a reply took."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
