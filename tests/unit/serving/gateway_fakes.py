"""Small exact stand-ins for what lies outside the gateway: an engine, a tokenizer of characters, a log in memory."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette

from schemas.errors import SpoolFullError
from schemas.events import ActionTaken, Event, FinishReason, Message, NextStateObserved, ToolCall
from schemas.messages import canonical_json
from serving.chat import Served
from serving.config import GatewayConfig
from serving.engine import EngineChunk, GenerateRequest
from serving.gateway import create_app
from serving.keys import key_digest
from serving.routing import Routes
from serving.token_text import Token
from streams.conversation import ConversationIndex
from streams.topics import Topic

CONTEXT_LENGTH = 500
END = 3  # the character that ends a text
Step = str | BaseException | asyncio.Event  # text to draw, something that goes wrong, something to wait for


class CharacterRenderer:
    """One token per character; the template writes `<role>text` for each message, and tools before them."""

    template_digest = "characters"
    vocab_size = 0x110000
    tool_call_open = "<tool_call>"

    def render(self, messages: Sequence[Message], tools: str, template_arguments: str) -> tuple[int, ...]:
        shown = "" if tools == "[]" else tools
        return tuple(map(ord, shown + "".join(f"<{m.role}>{m.content}" for m in messages) + "<assistant>"))

    def token(self, token_id: int) -> Token:
        return Token(text=chr(token_id), raw=chr(token_id).encode(), is_special=token_id == END)

    def parse_reply(self, text: str) -> Message:
        before, *calls = text.split(self.tool_call_open)
        parsed = [orjson.loads(call.removesuffix("\n").removesuffix("</tool_call>")) for call in calls]
        return Message(
            role="assistant",
            content=before.strip(),
            tool_calls=tuple(
                ToolCall(name=call["name"], arguments=canonical_json(call["arguments"])) for call in parsed
            ),
        )


@dataclass
class ScriptedEngine:
    """Draws what its script says, request by request; log-probability of a token is minus its position.

    `finish_reason` and `stop_sequence` are how every reply ends.
    """

    script: list[list[Step]] = field(default_factory=list)
    requests: list[GenerateRequest] = field(default_factory=list)
    adapters: set[str] = field(default_factory=set)
    stopped_early: int = 0
    alive: bool = True
    finish_reason: FinishReason = "stop"
    stop_sequence: str | None = None

    async def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:
        self.requests.append(request)
        steps = self.script.pop(0) if self.script else ["Hello."]
        drawn = 0
        try:
            for number, step in enumerate(steps):
                match step:
                    case str():
                        yield self._chunk(request, step, drawn, last=number == len(steps) - 1)
                        drawn += len(step)
                        await asyncio.sleep(0)
                    case asyncio.Event():
                        await step.wait()
                    case _:
                        raise step
        except (asyncio.CancelledError, GeneratorExit):
            self.stopped_early += 1
            raise

    def _chunk(self, request: GenerateRequest, text: str, drawn: int, *, last: bool) -> EngineChunk:
        return EngineChunk(
            text_delta=text,
            ids=tuple(map(ord, text)),
            logprobs=tuple(-float(drawn + i) for i in range(len(text))),
            finish_reason=self.finish_reason if last else None,
            stop_sequence=self.stop_sequence if last else None,
        )

    async def loaded_adapters(self) -> set[str]:
        return self.adapters

    async def health(self) -> bool:
        return self.alive


@dataclass
class MemoryRecorder:
    """A log in memory. `gate` holds every acknowledgement, `place` is where events go."""

    place: Literal["kafka", "spool", "nowhere"] = "kafka"
    events: list[Event] = field(default_factory=list)
    gate: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def healthy(self) -> bool:
        return self.place == "kafka"

    @property
    def spooled_bytes(self) -> int:
        return 0 if self.healthy else 100

    async def record(self, topic: Topic, event: Event) -> Literal["kafka", "spool"]:
        assert type(event) in topic.types
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.place == "nowhere":
            raise SpoolFullError("The spool is full.")
        self.events.append(event)
        return self.place

    @property
    def actions(self) -> list[ActionTaken]:
        return [event for event in self.events if isinstance(event, ActionTaken)]

    @property
    def next_states(self) -> list[NextStateObserved]:
        return [event for event in self.events if isinstance(event, NextStateObserved)]


class Bench:
    """A gateway on fakes, and a client that talks to it without a network."""

    def __init__(
        self, script: Sequence[Sequence[Step]] = (), policies: Sequence[str] = ("assistant",), **settings: Any
    ) -> None:
        keys = {key_digest(key): tenant for key, tenant in settings.pop("api_keys", {}).items()}
        admin = {"admin_key": key_digest(settings.pop("admin_key"))} if "admin_key" in settings else {}
        self.config = GatewayConfig(**{"engine_retry_s": 0.5, "api_keys": keys, **admin, **settings})
        self.engine = ScriptedEngine(script=[list(steps) for steps in script])
        self.recorder = MemoryRecorder()
        self.routes = Routes(*policies)
        self.time_ms = 1_000_000
        self.index = ConversationIndex(max_bytes=10**9, max_age_ms=10**9, max_chain_age_ms=10**9, now_ms=self.now_ms)
        self.app: Starlette = create_app(
            self.config,
            engine=self.engine,
            recorder=self.recorder,
            index=self.index,
            routes=self.routes,
            served=Served(renderer=CharacterRenderer(), base_model="base", context_length=CONTEXT_LENGTH),
            clock=self.now_ms,
        )

    def now_ms(self) -> int:
        self.time_ms += 1
        return self.time_ms

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://gateway")

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The URL of a real socket, for clients that bring their own transport."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, lifespan="on"))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            await serving

    async def post(
        self, body: object, headers: dict[str, str] | None = None, path: str = "/v1/chat/completions"
    ) -> httpx.Response:
        async with self.client() as client:
            return await client.post(path, json=body, headers=headers or {})

    async def chat(self, *messages: dict[str, Any], headers: dict[str, str] | None = None, **fields: Any) -> Any:
        response = await self.post({"model": "assistant", "messages": messages, **fields}, headers)
        assert response.status_code == 200, response.text
        return response.json()


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def chunks_of(text: str) -> list[dict[str, Any]]:
    """The JSON events of a stream, without the final [DONE]; an event with a name has the type that it names."""
    events = []
    for block in text.split("\n\n"):
        name, _, data = block.rpartition("data: ")
        if data and data != "[DONE]":
            events.append(orjson.loads(data))
            assert name in {"", f"event: {events[-1].get('type')}\n"}
    return events
