"""Replies in the form of OpenAI's Chat Completions: whole completions, and chunks of a stream.

Owns the response half of the protocol. Pure: consumes what was drawn, produces JSON values and bytes.
"""

from collections.abc import Sequence

from schemas.events import Message
from serving.api_errors import ApiError
from serving.protocols.openai import error_body, token_json
from serving.protocols.wire import Head, JsonObject, Usage, server_sent, told_of, usage_of
from serving.reply_ids import reply_id
from serving.turn import ChoiceFinished, TextAdded, TokenLogprob

_DONE = b"data: [DONE]\n\n"


def completion(head: Head, choices: Sequence[ChoiceFinished]) -> JsonObject:
    """A whole `chat.completion`."""
    return {
        **_envelope(head, "chat.completion"),
        "choices": [
            {
                "index": index,
                "message": _message(choice.action.reply),
                "finish_reason": choice.action.finish_reason,
                "logprobs": _logprobs(choice.logprobs) if head.call.logprobs else None,
            }
            for index, choice in enumerate(choices)
        ],
        "usage": _usage(usage_of(head, choices)),
    }


class ChunkStream:
    """A reply as `chat.completion.chunk` events; its choices come side by side."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._tells_usage = bool(head.call.form["include_usage"])
        self._envelope = _envelope(head, "chat.completion.chunk") | ({"usage": None} if self._tells_usage else {})

    def begin(self) -> bytes:
        """Every choice says who speaks."""
        opening = {"role": "assistant", "content": ""}
        return b"".join(self._chunk(index, opening) for index in range(self._head.call.num_choices))

    def add(self, added: TextAdded) -> bytes:
        """Text, with the log-probabilities of its tokens."""
        if not (added.text or added.logprobs):
            return b""
        return self._chunk(added.index, {"content": added.text}, logprobs=added.logprobs)

    def finish(self, choice: ChoiceFinished) -> bytes:
        """What was held back: text, tool calls; then the reason for the end."""
        parts = [self._chunk(choice.index, {"content": choice.rest})] if choice.rest else []
        if calls := _tool_calls(choice.action.reply):
            delta = {"tool_calls": [{"index": index, **call} for index, call in enumerate(calls)]}
            parts.append(self._chunk(choice.index, delta))
        return b"".join([*parts, self._chunk(choice.index, {}, finished=choice)])

    def end(self, choices: Sequence[ChoiceFinished]) -> bytes:
        """The usage, for clients that ask for it, and the end of the stream."""
        if not self._tells_usage:
            return _DONE
        usage = _usage(usage_of(self._head, choices))
        return server_sent({**self._envelope, "choices": [], "usage": usage}) + _DONE

    def fail(self, error: ApiError) -> bytes:
        """The error's body as an event."""
        return server_sent(error_body(error))

    def _chunk(
        self,
        index: int,
        delta: JsonObject,
        *,
        finished: ChoiceFinished | None = None,
        logprobs: Sequence[TokenLogprob] = (),
    ) -> bytes:
        choice = {
            "index": index,
            "delta": delta,
            "finish_reason": finished.action.finish_reason if finished else None,
            "logprobs": _logprobs(logprobs) if logprobs else None,
        }
        return server_sent({**self._envelope, "choices": [choice], **(told_of([finished]) if finished else {})})


def _envelope(head: Head, kind: str) -> JsonObject:
    """What every part of one response repeats."""
    first = head.action_ids[0]  # of several choices
    return {"id": reply_id("chatcmpl-", first), "object": kind, "created": head.created_s, "model": head.call.model}


def _usage(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _logprobs(tokens: Sequence[TokenLogprob]) -> JsonObject:
    return {"content": [token_json(token) for token in tokens], "refusal": None}


def _message(reply: Message) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": reply.content, "refusal": None}
    if reply.tool_calls:
        message |= {"content": reply.content or None, "tool_calls": _tool_calls(reply)}
    return message


def _tool_calls(reply: Message) -> list[JsonObject]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.tool_calls
    ]
