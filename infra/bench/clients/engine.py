"""`Engine`: what draws behind the gateway in the benchmark of clients; `ScriptedEngine`: one that follows a script.

Owns a thread with an HTTP server that speaks SGLang's `/generate`. The tokenizer is the real model's, so the gateway
renders, decodes and parses as it does in earnest; only who draws is different. Everything that was drawn is kept, to be
held against the log. (sglang.py has the engine for which a real SGLang draws.)
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tokenizers import Tokenizer

from infra.bench.clients.script import ENDS, Asked, Line, Script
from infra.connect.clients import Check
from infra.ports import HOST, choose_port
from infra.sglang_events import DONE, token_event

SLOW_S = 0.05  # per token of a slow line: 400 of them are time enough to walk away
START_S = 30.0


def logprob(place: int) -> float:
    """Of the token at a place of a reply, nats: any number will do that is this place's own."""
    return -(place + 1) / 1024


@dataclass(frozen=True, slots=True)
class Drawn:
    """One reply as it was sent, to a prompt that asked this; a client that left may have seen less.

    `words`: its text, without calls; `logprobs`: nats, of each id.
    """

    asked: Asked
    prompt_ids: tuple[int, ...]
    words: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Engine(Protocol):
    """One server that clients' runs take turns at."""

    @property
    def context_length(self) -> int:
        """Prompt and reply together, in tokens."""

    @property
    def not_asked(self) -> Mapping[Check, str]:
        """What cannot be checked on it, and why."""

    @property
    def drawn(self) -> tuple[Drawn, ...]:
        """The replies since `begin`, in the order in which they began."""

    @property
    def num_failures(self) -> int:
        """How often it was away since `begin`."""

    def begin(self) -> None:
        """Forget all that was asked: another client comes."""

    async def generate(self, request: Request) -> Response:
        """POST /generate."""

    async def tell(self, request: Request) -> Response:
        """GET anything: health, models."""


@dataclass(slots=True)
class ScriptedEngine:
    """What it says and has said. `begin` starts it over, for another client."""

    tokenizer: Tokenizer
    end_token: int
    script: Script = field(default_factory=Script)
    sent: list[Drawn] = field(default_factory=list)
    num_failures: int = 0
    context_length: int = 65_536  # the script does not mind; an agent's system prompt alone can have 10,000 tokens
    not_asked: Mapping[Check, str] = field(default_factory=dict)

    @classmethod
    def of(cls, model_path: Path) -> "ScriptedEngine":
        """With the tokenizer of a model folder."""
        tokenizer = Tokenizer.from_file(str(model_path / "tokenizer.json"))
        (end_token,) = tokenizer.encode(ENDS, add_special_tokens=False).ids
        return cls(tokenizer, end_token)

    def begin(self) -> None:
        """Forget all that was asked."""
        self.script, self.sent, self.num_failures = Script(), [], 0

    @property
    def drawn(self) -> tuple[Drawn, ...]:
        """As `Engine.drawn`."""
        return tuple(self.sent)

    async def generate(self, request: Request) -> Response:
        """POST /generate."""
        prompt_ids = tuple(orjson.loads(await request.body())["input_ids"])
        line = self.script.line(self.tokenizer.decode(list(prompt_ids), skip_special_tokens=False))
        if line.fails:
            self.num_failures += 1
            return JSONResponse({"error": {"message": "The scripted engine is away."}}, 503)
        ids = (*self.tokenizer.encode(line.text, add_special_tokens=False).ids, self.end_token)
        self.sent.append(Drawn(line.asked, prompt_ids, line.words, ids, tuple(map(logprob, range(len(ids))))))
        return StreamingResponse(self._events(line, prompt_ids, ids), media_type="text/event-stream")

    async def tell(self, _: Request) -> Response:
        """GET anything: it is well, and has no adapters."""
        return JSONResponse({"data": []})

    async def _events(self, line: Line, prompt_ids: tuple[int, ...], ids: tuple[int, ...]) -> AsyncIterator[bytes]:
        for place, token in enumerate(ids):
            text = self.tokenizer.decode([token], skip_special_tokens=True)
            yield token_event(
                token,
                text,
                logprob(place),
                place=place,
                num_prompt_tokens=len(prompt_ids),
                is_last=place == len(ids) - 1,
            )
            await asyncio.sleep(SLOW_S if line.slow else 0)
        yield DONE


@contextmanager
def running(engine: Engine) -> Iterator[str]:
    """The URL at which it listens, for the length of the `with`."""
    routes = [Route("/generate", engine.generate, methods=["POST"]), Route("/{path:path}", engine.tell)]
    port = choose_port(None, "")
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), HOST, port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, name="engine", daemon=True)
    thread.start()
    end_s = time.monotonic() + START_S
    while not server.started and thread.is_alive() and time.monotonic() < end_s:
        time.sleep(0.01)
    try:
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(START_S)
