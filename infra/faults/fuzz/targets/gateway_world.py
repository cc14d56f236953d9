"""`World`: a gateway whose engine and log are well: small exact stand-ins for what lies outside of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import orjson

from infra.faults.fuzz.target import WrongError
from infra.faults.fuzz.targets.gateway_answers import Reply
from schemas.events import Event, Message, ToolCall
from schemas.messages import canonical_json
from serving.chat import Served
from serving.config import GatewayConfig
from serving.engine import EngineChunk, GenerateRequest
from serving.gateway import create_app
from serving.keys import key_digest
from serving.routing import Routes
from serving.token_text import Token
from streams.codec import decode, encode
from streams.conversation import ConversationIndex
from streams.topics import Topic

KEY, TENANT, POLICY = "key-1", "acme", "assistant"
_MAX_BODY_BYTES = 64 * 1024  # small, so that bodies over it cost little
_START_MS = 1_771_000_000_000
_OPEN_CALL = "<tool_call>"
_JUMPS_MS = (_START_MS, _START_MS - 3_600_000, 0, _START_MS + 10 * 365 * 86_400_000)  # as clocks of real machines do
_LOOKS_PER_JUMP = 61


class World:
    """A gateway and a client of it, without a network."""

    def __init__(self) -> None:
        self._time_ms = _START_MS
        self._num_looks = 0  # at the clock
        index = ConversationIndex(
            max_bytes=8 * 1024 * 1024, max_age_ms=10**9, max_chain_age_ms=10**9, now_ms=self._now_ms
        )
        self._app = create_app(
            GatewayConfig(
                api_keys={key_digest(KEY): TENANT}, max_body_bytes=_MAX_BODY_BYTES, max_otlp_bytes=4 * _MAX_BODY_BYTES
            ),
            engine=_Engine(),
            recorder=_Log(),
            index=index,
            routes=Routes(POLICY),
            served=Served(renderer=_Renderer(), base_model="base", context_length=4096),
            clock=self._now_ms,
        )

    def _now_ms(self) -> int:
        self._num_looks += 1
        self._time_ms += 1
        if self._num_looks % _LOOKS_PER_JUMP == 0:
            self._time_ms = _JUMPS_MS[self._num_looks // _LOOKS_PER_JUMP % len(_JUMPS_MS)]
        return self._time_ms

    async def ask(
        self, method: str, path: str, query: str, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> Reply:
        """One request and its whole answer; raises what the application raises."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "query_string": query.encode("latin-1", "replace"),
            "root_path": "",
            "headers": list(headers),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        sent: list[Any] = []
        parts = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            if (part := next(parts, None)) is not None:
                return part
            return await asyncio.Future()  # the client stays

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start, content = sent[0], b"".join(part.get("body", b"") for part in sent[1:])
        found = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        return Reply(method, path, start["status"], found, content)

    async def settle(self) -> None:
        """Until nothing goes on in the background; it has nothing to wait for."""
        for _ in range(1000):
            if len(asyncio.all_tasks()) == 1:
                return
            await asyncio.sleep(0)
        raise WrongError("a task goes on for ever")


class _Engine:
    """Answers every prompt alike; with a call where tools are offered."""

    async def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:
        ids = tuple(map(ord, "Hello."))[: request.sampling.max_tokens or None]
        for number, token_id in enumerate(ids):
            yield EngineChunk(
                text_delta=chr(token_id),
                ids=(token_id,),
                logprobs=(-0.5,),
                finish_reason="stop" if number == len(ids) - 1 else None,
            )

    async def loaded_adapters(self) -> set[str]:
        return set()

    async def health(self) -> bool:
        return True


class _Renderer:
    """A token per character."""

    template_digest = "characters"
    vocab_size = 0x110000
    tool_call_open = _OPEN_CALL

    def render(self, messages: Sequence[Message], tools: str, template_arguments: str) -> tuple[int, ...]:
        words = "".join(f"<{message.role}>{message.content}" for message in messages)
        return tuple(map(ord, ("" if tools == "[]" else tools) + template_arguments + words + "<assistant>"))

    def token(self, token_id: int) -> Token:
        return Token(text=chr(token_id), raw=chr(token_id).encode(), is_special=False)

    def parse_reply(self, text: str) -> Message:
        before, *calls = text.split(_OPEN_CALL)
        read = [orjson.loads(call) for call in calls]
        return Message(
            role="assistant",
            content=before,
            tool_calls=tuple(ToolCall(name=call["name"], arguments=canonical_json(call["arguments"])) for call in read),
        )


class _Log:
    """Takes what Kafka could hold, and sees that it can be read."""

    healthy = True
    spooled_bytes = 0

    async def record(self, topic: Topic, event: Event) -> Literal["kafka", "spool"]:
        record = encode(topic, event, "gateway-0")
        if decode(record.headers, record.value) != event:
            raise WrongError(f"{event.type} is read back as another than was written")
        return "kafka"
