"""Replies in OpenAI's form: whole completions, chunks of a stream, server-sent events.

Owns the response half of the protocol. Pure: consumes what was drawn, produces JSON values and bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.events import FinishReason, Message

JsonObject = dict[str, Any]
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every part of one response repeats."""

    id: str
    created_s: int
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """One drawn token: its text and log-probability, and those of its most likely rivals."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One finished choice of a whole completion."""

    reply: Message
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    def as_json(self) -> JsonObject:
        """OpenAI's `usage`."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


def server_sent(value: JsonObject) -> bytes:
    """One event of a stream."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def completion(envelope: Envelope, choices: Sequence[Choice], usage: Usage) -> JsonObject:
    """A whole `chat.completion`."""
    return {
        "id": envelope.id,
        "object": "chat.completion",
        "created": envelope.created_s,
        "model": envelope.model,
        "choices": [
            {
                "index": index,
                "message": _message(choice.reply),
                "finish_reason": choice.finish_reason,
                "logprobs": None if choice.logprobs is None else logprobs_json(choice.logprobs),
            }
            for index, choice in enumerate(choices)
        ],
        "usage": usage.as_json(),
    }


def chunk(
    envelope: Envelope,
    index: int,
    delta: JsonObject,
    *,
    finish_reason: FinishReason | None = None,
    logprobs: Sequence[TokenLogprob] = (),
) -> JsonObject:
    """One `chat.completion.chunk` of one choice."""
    choice = {
        "index": index,
        "delta": delta,
        "finish_reason": finish_reason,
        "logprobs": logprobs_json(logprobs) if logprobs else None,
    }
    return {
        "id": envelope.id,
        "object": "chat.completion.chunk",
        "created": envelope.created_s,
        "model": envelope.model,
        "choices": [choice],
    }


def usage_chunk(envelope: Envelope, usage: Usage) -> JsonObject:
    """The chunk after the last choice has finished, for clients that ask for usage."""
    return {
        "id": envelope.id,
        "object": "chat.completion.chunk",
        "created": envelope.created_s,
        "model": envelope.model,
        "choices": [],
        "usage": usage.as_json(),
    }


def tool_calls_delta(reply: Message) -> JsonObject:
    """The delta that carries a reply's tool calls, whole."""
    return {"tool_calls": [{"index": index, **call} for index, call in enumerate(_tool_calls(reply))]}


def logprobs_json(tokens: Sequence[TokenLogprob]) -> JsonObject:
    """OpenAI's `logprobs` of a choice."""
    return {
        "content": [
            {**_token(token.text, token.logprob), "top_logprobs": [_token(*rival) for rival in token.top]}
            for token in tokens
        ],
        "refusal": None,
    }


def _token(text: str, logprob: float) -> JsonObject:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _message(reply: Message) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": reply.content or None, "refusal": None}
    if reply.tool_calls:
        message["tool_calls"] = _tool_calls(reply)
    else:
        message["content"] = reply.content
    return message


def _tool_calls(reply: Message) -> list[JsonObject]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.tool_calls
    ]
