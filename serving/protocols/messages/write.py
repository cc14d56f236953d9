"""Replies in the form of Anthropic's Messages: whole messages, the events of a stream, errors.

Owns the response half of the protocol. Pure: consumes what was drawn, produces JSON values and bytes.
"""

from collections.abc import Sequence
from http import HTTPStatus

import orjson

from schemas.events import ToolCall
from serving.api_errors import ApiError
from serving.protocols.messages.tool_input import input_of
from serving.protocols.wire import Head, JsonObject, Refusal, Usage, server_sent, told_of, usage_of
from serving.reply_ids import reply_id
from serving.turn import ChoiceFinished, TextAdded

OVERLOADED = 529  # Anthropic's status for what passes by itself
_ERROR_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
}


def message(head: Head, choice: ChoiceFinished) -> JsonObject:
    """A whole message."""
    reply = choice.action.reply
    text = [{"type": "text", "text": reply.content}] if reply.content else []
    calls = [{**_tool_use(call), "input": input_of(call.arguments)} for call in reply.tool_calls]
    usage = _usage(usage_of(head, [choice]))
    return {**_begun(head), "content": [*text, *calls], **_stop(head, choice), "usage": usage}


def message_refusal(error: ApiError, request_id: str) -> Refusal:
    """An error as Anthropic's API gives it."""
    passes = error.status == HTTPStatus.SERVICE_UNAVAILABLE
    return Refusal(OVERLOADED if passes else error.status, {**_error(error), "request_id": request_id})


class BlockStream:
    """A reply as a stream of content blocks: one of text, if it has any, and one per tool call."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._num_blocks = 0
        self._text_is_open = False

    def begin(self) -> bytes:
        """The message without content."""
        usage = _usage(Usage(prompt_tokens=self._head.num_prompt_tokens, completion_tokens=0, cached_tokens=0))
        begun = {**_begun(self._head), "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        return _event("message_start", {"message": begun})

    def add(self, added: TextAdded) -> bytes:
        """Text."""
        return self._text(added.text)

    def finish(self, choice: ChoiceFinished) -> bytes:
        """Text that was held back, and the tool calls."""
        text = self._text(choice.rest) + self._close_text()
        return text + b"".join(map(self._call, choice.action.reply.tool_calls))

    def end(self, choices: Sequence[ChoiceFinished]) -> bytes:
        """Why it ended, and what it took."""
        [choice] = choices
        delta = {"delta": _stop(self._head, choice), "usage": _usage(usage_of(self._head, choices))}
        return _event("message_delta", delta | told_of(choices)) + _event("message_stop", {})

    def fail(self, error: ApiError) -> bytes:
        """The error as an event."""
        return server_sent(_error(error), event="error")

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        opening = b"" if self._text_is_open else self._open({"type": "text", "text": ""})
        self._text_is_open = True
        return opening + self._delta({"type": "text_delta", "text": text})

    def _close_text(self) -> bytes:
        return self._close() if self._text_is_open else b""

    def _call(self, call: ToolCall) -> bytes:
        given = orjson.dumps(input_of(call.arguments)).decode()
        opening = self._open({**_tool_use(call), "input": {}})
        return opening + self._delta({"type": "input_json_delta", "partial_json": given}) + self._close()

    def _open(self, block: JsonObject) -> bytes:
        return _event("content_block_start", {"index": self._num_blocks, "content_block": block})

    def _delta(self, delta: JsonObject) -> bytes:
        return _event("content_block_delta", {"index": self._num_blocks, "delta": delta})

    def _close(self) -> bytes:
        self._num_blocks += 1
        return _event("content_block_stop", {"index": self._num_blocks - 1})


def _event(kind: str, fields: JsonObject) -> bytes:
    return server_sent({"type": kind, **fields}, event=kind)


def _begun(head: Head) -> JsonObject:
    message_id = reply_id("msg_", head.action_ids[0])
    return {"id": message_id, "type": "message", "role": "assistant", "model": head.call.model}


def _tool_use(call: ToolCall) -> JsonObject:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _stop(head: Head, choice: ChoiceFinished) -> JsonObject:
    """Why the reply ended."""
    action = choice.action
    match action.finish_reason:
        case "tool_calls":
            return {"stop_reason": "tool_use", "stop_sequence": None}
        case "length":
            was_cut = action.sampling.max_tokens != head.call.form["max_tokens"]
            return {"stop_reason": "model_context_window_exceeded" if was_cut else "max_tokens", "stop_sequence": None}
        case _ if choice.stop_sequence is not None:
            return {"stop_reason": "stop_sequence", "stop_sequence": choice.stop_sequence}
        case _:
            return {"stop_reason": "end_turn", "stop_sequence": None}


def _usage(usage: Usage) -> JsonObject:
    """What was read from the cache is counted apart."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }


def _error(error: ApiError) -> JsonObject:
    other = "api_error" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {"type": "error", "error": {"type": _ERROR_TYPES.get(error.status, other), "message": str(error)}}
