"""A small exact SGLang: it speaks the observed wire format over a real socket, from a script."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Json = dict[str, Any]


def token_event(
    ids: list[int], total: int, text: str, finish: Json | None = None, logprobs: list[Any] | None = None
) -> Json:
    """One event of a stream. Log-prob of a token is minus a hundredth of its id unless given."""
    given = [-id_ / 100 for id_ in ids] if logprobs is None else logprobs
    return {
        "text": text,
        "output_ids": ids,
        "meta_info": {
            "finish_reason": finish,
            "prompt_tokens": 3,
            "cached_tokens": 2,
            "completion_tokens": total,
            "output_token_logprobs": [[logprob, id_, None] for logprob, id_ in zip(given, ids, strict=False)],
        },
    }


STOP = {"type": "stop", "matched": 2}


@dataclass
class FakeSGLang:
    """What it will answer, and what it was asked."""

    events: list[Json | bytes] = field(default_factory=list)
    replies: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, Json]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    slow_s: float = 0.0  # before a reply of `replies`
    hang: asyncio.Event | None = None  # set: the stream stays open after its events, until the client leaves
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> Response:
        body = orjson.loads(await request.body() or b"{}")
        self.asked.append((request.url.path, body))
        self.keys.append(request.headers.get("authorization"))
        if request.url.path in self.replies:
            await asyncio.sleep(self.slow_s)
            status, reply = self.replies[request.url.path]
            return JSONResponse(reply, status)
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[bytes]:
        try:
            for event in self.events:
                yield event if isinstance(event, bytes) else b"data: " + orjson.dumps(event) + b"\n\n"
            if self.hang is not None:
                await self.hang.wait()
            yield b"data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left.set()
            raise


@contextlib.asynccontextmanager
async def serve(fake: FakeSGLang) -> AsyncIterator[str]:
    """Its URL, while it runs."""
    app = Starlette(routes=[Route("/{path:path}", fake.answer, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running
