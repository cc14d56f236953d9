"""The scripted engine: `python -m ...engine PORT MODEL`. SGLang's two doors, and no model behind them.

    gateway ────► POST /generate               token ids in; tokens, log-probs and text out, one event per token
    proxy, client ─► POST /v1/chat/completions    messages in; the same answer as text, streamed or whole
    benchmark ──► POST /pace                   how fast answers come from now on; GET /drawn: how many have begun

Answers keep an exact pace: each token is due at a time of its own, counted from the request, so a late one delays no
other. What is measured around it is then the work of those who stand before it. It renders no prompt: SGLang does so
for its chat door, which counts against the gateway here, for the gateway does it itself.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from infra.bench.gateway.script import Script, Token
from infra.ports import HOST
from infra.sglang_events import DONE, token_event
from serving.rendering import ChatRenderer

MODEL = "scripted"
_LOGPROB = -0.6931471824645996  # of every token: float32 of ln 1/2
Json = dict[str, Any]


@dataclass(slots=True)
class ScriptedEngine:
    """The endpoints. `first_token_s`, `token_s`: to the first token, and from each to the next."""

    script: Script
    first_token_s: float = 0.0
    token_s: float = 0.0
    _numbers: Iterator[int] = field(default_factory=count)
    _num_drawn: int = 0

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/generate", self.generate, methods=["POST"]),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/pace", self.pace, methods=["POST"]),
                Route("/drawn", self.drawn),
                Route("/health", self.health),
            ]
        )

    async def generate(self, request: Request) -> Response:
        """SGLang's own door; always streams, as the gateway asks for."""
        num_prompt_tokens = len(orjson.loads(await request.body())["input_ids"])
        return _stream(self._generated(self._draw(), num_prompt_tokens))

    async def chat(self, request: Request) -> Response:
        """OpenAI's door."""
        body = orjson.loads(await request.body())
        tokens = self._draw()
        if body.get("stream"):
            return _stream(self._chunks(tokens))
        async for _ in self._paced(tokens):
            pass
        return JSONResponse(_completion(tokens, with_logprobs=bool(body.get("logprobs"))))

    async def pace(self, request: Request) -> Response:
        """Sets the pace."""
        body = orjson.loads(await request.body())
        self.first_token_s, self.token_s = body["first_token_s"], body["token_s"]
        return Response()

    async def drawn(self, _: Request) -> Response:
        """How many answers were begun."""
        return JSONResponse(self._num_drawn)

    async def health(self, _: Request) -> Response:
        """Always."""
        return Response()

    def _draw(self) -> tuple[Token, ...]:
        self._num_drawn += 1
        return self.script.answer(next(self._numbers))

    async def _paced(self, tokens: tuple[Token, ...]) -> AsyncIterator[tuple[int, Token]]:
        """The tokens, each with its place, when they are due."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self.first_token_s
        for place, token in enumerate(tokens):
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            due_s += self.token_s
            yield place, token

    async def _generated(self, tokens: tuple[Token, ...], num_prompt_tokens: int) -> AsyncIterator[bytes]:
        async for place, token in self._paced(tokens):
            yield token_event(
                token.id,
                token.text,
                _LOGPROB,
                place=place,
                num_prompt_tokens=num_prompt_tokens,
                is_last=place == len(tokens) - 1,
            )
        yield DONE

    async def _chunks(self, tokens: tuple[Token, ...]) -> AsyncIterator[bytes]:
        async for place, token in self._paced(tokens):
            if place == 0:
                yield _chunk({"role": "assistant", "content": ""}, None)
            if token is tokens[-1]:
                yield _chunk({}, "stop")
            else:
                yield _chunk({"content": token.text}, None)
        yield DONE


def _stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream")


def _event(body: Json) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


def _chunk(delta: Json, finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event(
        {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": [choice]}
    )


def _completion(tokens: tuple[Token, ...], *, with_logprobs: bool) -> Json:
    message = {"role": "assistant", "content": "".join(token.text for token in tokens), "tool_calls": None}
    logprobs = {"content": [_token_logprob(token) for token in tokens]} if with_logprobs else None
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}
    usage = {"prompt_tokens": 0, "completion_tokens": len(tokens), "total_tokens": len(tokens)}
    head = {"id": "scripted", "object": "chat.completion", "created": 0, "model": MODEL}
    return {**head, "choices": [choice], "usage": usage}


def _token_logprob(token: Token) -> Json:
    own = {"token": token.text, "logprob": _LOGPROB, "bytes": list(token.text.encode())}
    return {**own, "top_logprobs": [own]}


if __name__ == "__main__":
    engine = ScriptedEngine(Script.of(ChatRenderer(Path(sys.argv[2]))))
    uvicorn.run(engine.app(), host=HOST, port=int(sys.argv[1]), log_level="warning")
