"""Small exact clients, one per protocol: each keeps its history as its API has it, and sends back what it was given.

Neutral words in, neutral words out, so that one law can be told of all of them: `said` is a text, or results of the
tools that were called last, or both; the answer is text and calls.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from tests.unit.serving.gateway_fakes import Bench, chunks_of

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}


class Client(Protocol):
    """One conversation. `history` is what the next request will send before what is said now."""

    path: str
    history: list[Any]

    def results(self, texts: Sequence[str]) -> None:
        """Say what the tools that were called last gave, in the order of the calls."""

    def user(self, text: str) -> None:
        """Say something."""

    def body(self, *, stream: bool) -> dict[str, Any]:
        """The request."""

    def take(self, reply: dict[str, Any]) -> None:
        """Keep a reply."""

    def gather(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        """The reply that a stream's events make."""

    @property
    def num_calls(self) -> int:
        """Of the newest reply."""


async def ask(bench: Bench, client: Client, *, stream: bool) -> None:
    """One turn."""
    response = await bench.post(client.body(stream=stream), path=client.path)
    assert response.status_code == 200, response.text
    client.take(client.gather(chunks_of(response.text)) if stream else response.json())


class ChatClient:
    path = "/v1/chat/completions"

    def __init__(self) -> None:
        self.history: list[Any] = []

    def results(self, texts: Sequence[str]) -> None:
        calls = self.history[-1]["tool_calls"]
        self.history += [
            {"role": "tool", "tool_call_id": call["id"], "content": text}
            for call, text in zip(calls, texts, strict=True)
        ]

    def user(self, text: str) -> None:
        self.history.append({"role": "user", "content": text})

    def body(self, *, stream: bool) -> dict[str, Any]:
        tool = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
        return {"model": "assistant", "messages": self.history, "tools": [tool], "stream": stream}

    def take(self, reply: dict[str, Any]) -> None:
        self.history.append(reply["choices"][0]["message"])

    def gather(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        for event in events:
            delta = event["choices"][0]["delta"]
            message["content"] += delta.get("content") or ""
            message |= {key: value for key, value in delta.items() if key == "tool_calls"}
        return {"choices": [{"message": message}]}

    @property
    def num_calls(self) -> int:
        return len(self.history[-1].get("tool_calls", ()))


class ResponsesClient:
    path = "/v1/responses"

    def __init__(self) -> None:
        self.history: list[Any] = []
        self.reply: dict[str, Any] = {}

    @property
    def _calls(self) -> list[dict[str, Any]]:
        return [item for item in self.reply["output"] if item["type"] == "function_call"]

    def results(self, texts: Sequence[str]) -> None:
        self.history += [
            {"type": "function_call_output", "call_id": call["call_id"], "output": text}
            for call, text in zip(self._calls, texts, strict=True)
        ]

    def user(self, text: str) -> None:
        self.history.append({"role": "user", "content": [{"type": "input_text", "text": text}]})

    def body(self, *, stream: bool) -> dict[str, Any]:
        tool = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}
        return {"model": "assistant", "input": self.history, "tools": [tool], "stream": stream, "store": False}

    def take(self, reply: dict[str, Any]) -> None:
        self.reply = reply
        self.history += reply["output"]

    def gather(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        reply: dict[str, Any] = events[-1]["response"]
        assert reply["output"] == items
        return reply

    @property
    def num_calls(self) -> int:
        return len(self._calls)


class ReferringClient(ResponsesClient):
    """Sends nothing twice: a response is named by its id."""

    def body(self, *, stream: bool) -> dict[str, Any]:
        previous = {"previous_response_id": self.reply["id"]} if self.reply else {}
        return {**super().body(stream=stream), **previous, "store": True}

    def take(self, reply: dict[str, Any]) -> None:
        self.reply, self.history = reply, []


class ItemReferringClient(ResponsesClient):
    """Sends back the ids of the items that it was given instead of the items."""

    def take(self, reply: dict[str, Any]) -> None:
        self.reply = reply
        self.history += [{"type": "item_reference", "id": item["id"]} for item in reply["output"]]


class MessagesClient:
    path = "/v1/messages"

    def __init__(self) -> None:
        self.history: list[Any] = []

    @property
    def _calls(self) -> list[dict[str, Any]]:
        return [block for block in self.history[-1]["content"] if block["type"] == "tool_use"]

    def results(self, texts: Sequence[str]) -> None:
        blocks = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": text}]}
            for call, text in zip(self._calls, texts, strict=True)
        ]
        self.history.append({"role": "user", "content": blocks})

    def user(self, text: str) -> None:
        """In the same message as results, as the API asks for it."""
        if self.history and self.history[-1]["role"] == "user":
            self.history[-1]["content"].append({"type": "text", "text": text})
        else:
            self.history.append({"role": "user", "content": text})

    def body(self, *, stream: bool) -> dict[str, Any]:
        tool = {"name": "weather", "input_schema": PARAMETERS}
        limits = {"max_tokens": 4096, "stream": stream}
        return {"model": "assistant", "messages": self.history, "tools": [tool], **limits}

    def take(self, reply: dict[str, Any]) -> None:
        self.history.append({"role": reply["role"], "content": reply["content"]})

    def gather(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        blocks: list[dict[str, Any]] = []
        written = ""
        for event in events:
            match event:
                case {"type": "content_block_start", "index": index, "content_block": block}:
                    assert index == len(blocks)
                    blocks.append(block)
                    written = ""
                case {"type": "content_block_delta", "delta": {"text": text}}:
                    blocks[-1]["text"] += text
                case {"type": "content_block_delta", "delta": {"partial_json": text}}:
                    written += text
                case {"type": "content_block_stop"} if blocks[-1]["type"] == "tool_use":
                    blocks[-1]["input"] = orjson.loads(written)
        return {"role": "assistant", "content": blocks}

    @property
    def num_calls(self) -> int:
        return len(self._calls)


CLIENTS: tuple[type[Client], ...] = (
    ChatClient,
    ResponsesClient,
    ReferringClient,
    ItemReferringClient,
    MessagesClient,
)
