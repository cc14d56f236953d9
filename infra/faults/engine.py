"""The suite's engine: `python -m infra.faults.engine PORT MODEL`. SGLang's doors, in a process that can be killed.

    gateway ───► POST /generate                     never the same answer twice; a tool call where one is offered
    reloader ──► /load_lora_adapter, /unload_lora_adapter, /v1/models, /server_info    adapters by name, lost with it
    suite ─────► POST /pace                         how fast it answers from now on, and after how many tokens it hangs
            └──► GET /standing                      how many answers hang

It reads an adapter's weights when it takes one, as SGLang does, and computes nothing with them. An answer names the
adapter that it was drawn with, so that a log can be held against who really spoke (`speaker_of`).
"""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from safetensors import SafetensorError, safe_open
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tokenizers import Tokenizer

from infra.ports import HOST
from infra.sglang_events import DONE, token_event
from infra.tiny_model import END

TOOL = "weather"
BASE = "base"  # how an answer without an adapter names who speaks
_BEGINS = "<|im_start|>"
_SPEAKER = re.compile(r"^Answer \d+-\d+ of (\S+)[.:]", re.ASCII)
_CALL = f'<tool_call>\n{{"name": "{TOOL}", "arguments": {{"city": "Oslo"}}}}\n</tool_call>'
_LOGPROB = -4.0  # nats, of every token: about what the untrained model would give
Json = dict[str, Any]


@dataclass(slots=True)
class Pace:
    """`hang_after`: tokens of an answer after which nothing more comes of it, ever; None: it never hangs."""

    token_s: float = 0.0
    hang_after: int | None = None


@dataclass(slots=True)
class FaultEngine:
    """The endpoints, and what one server process holds in memory."""

    tokenizer: Tokenizer
    pace: Pace = field(default_factory=Pace)
    adapters: set[str] = field(default_factory=set)
    standing: int = 0  # answers that hang now
    _started_ns: int = field(default_factory=time.time_ns)
    _numbers: Iterator[int] = field(default_factory=count)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/generate", self.generate, methods=["POST"]),
                Route("/load_lora_adapter", self.load, methods=["POST"]),
                Route("/unload_lora_adapter", self.unload, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/server_info", self.info),
                Route("/pace", self.set_pace, methods=["POST"]),
                Route("/standing", self.num_standing),
                Route("/health", self.health),
            ]
        )

    async def generate(self, request: Request) -> Response:
        """Draws nothing: says the next sentence."""
        body = orjson.loads(await request.body())
        adapter = body.get("lora_path")
        if adapter is not None and adapter not in self.adapters:
            return JSONResponse({"error": {"message": f"LoRA adapter {adapter} is not loaded."}}, 400)
        text = self._said(self.tokenizer.decode(body["input_ids"], skip_special_tokens=False), adapter or BASE)
        longest = body["sampling_params"]["max_new_tokens"] - 1
        words, end = (self.tokenizer.encode(part, add_special_tokens=False).ids for part in (text, END))
        ids = [*words[:longest], *end]
        return StreamingResponse(self._events(ids, len(body["input_ids"])), media_type="text/event-stream")

    async def load(self, request: Request) -> Response:
        """Takes an adapter."""
        body = orjson.loads(await request.body())
        try:
            _read_weights(Path(body["lora_path"]))
        except (OSError, SafetensorError) as error:
            return JSONResponse({"error": {"message": f"LoRA adapter cannot be loaded: {error}"}}, 400)
        self.adapters.add(body["lora_name"])
        return JSONResponse({"success": True})

    async def unload(self, request: Request) -> Response:
        """Lets go of one."""
        self.adapters.discard(orjson.loads(await request.body())["lora_name"])
        return JSONResponse({"success": True})

    async def models(self, _: Request) -> Response:
        """What it has."""
        return JSONResponse({"data": [{"id": "base", "parent": None}, *self._listed()]})

    async def info(self, _: Request) -> Response:
        """Which process it is."""
        return JSONResponse({"startup_time": {"ns": self._started_ns}})

    async def set_pace(self, request: Request) -> Response:
        """From the next token on."""
        self.pace = Pace(**orjson.loads(await request.body()))
        return Response()

    async def num_standing(self, _: Request) -> Response:
        """How many answers hang."""
        return JSONResponse(self.standing)

    async def health(self, _: Request) -> Response:
        """Always."""
        return Response()

    def _listed(self) -> list[Json]:
        return [{"id": name, "parent": "base"} for name in sorted(self.adapters)]

    def _said(self, prompt: str, speaker: str) -> str:
        newest = prompt.rpartition(_BEGINS)[0].rpartition(_BEGINS)[2]  # the message before the answer's own beginning
        answer = f"Answer {self._started_ns}-{next(self._numbers)} of {speaker}"
        if f'"name": "{TOOL}"' in prompt and "<tool_response>" not in newest:
            return f"{answer}.\n{_CALL}"
        return f"{answer}: begin with one small step."

    async def _events(self, ids: list[int], num_prompt_tokens: int) -> AsyncIterator[bytes]:
        for place, id_ in enumerate(ids):
            if place == self.pace.hang_after:
                await self._stand()
            yield token_event(
                id_,
                self.tokenizer.decode([id_], skip_special_tokens=True),
                _LOGPROB,
                place=place,
                num_prompt_tokens=num_prompt_tokens,
                is_last=place == len(ids) - 1,
            )
            await asyncio.sleep(self.pace.token_s)
        yield DONE

    async def _stand(self) -> None:
        self.standing += 1
        try:
            await asyncio.Event().wait()
        finally:  # the gateway has given up
            self.standing -= 1


def speaker_of(answer: str) -> str:
    """Who an answer says has drawn it: an adapter's name, or `BASE`; "" where it does not say."""
    found = _SPEAKER.match(answer)
    return found[1] if found else ""


def _read_weights(folder: Path) -> None:
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118 - not a mapping
            weights.get_tensor(name)


if __name__ == "__main__":
    engine = FaultEngine(Tokenizer.from_file(str(Path(sys.argv[2]) / "tokenizer.json")))
    uvicorn.run(engine.app(), host=HOST, port=int(sys.argv[1]), log_level="warning")
