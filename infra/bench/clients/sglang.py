"""`RelayedEngine`: a real SGLang behind a door that keeps what passes and is away once.

Clients' retries and the log's tokens can only be checked by somebody who stands between gateway and engine. Requests
are handed on as they came, events come back as they are. Owns the SGLang process, too (`relayed_sglang`).
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from tokenizers import Tokenizer

from infra.bench.clients.engine import Drawn
from infra.bench.clients.script import Asked, Away, asked
from infra.bench.live import Live, answers
from infra.components import ENVIRONMENT
from infra.connect.clients import Check
from infra.ports import HOST, choose_port
from infra.process import Process, with_tethered_children
from serving.config import EngineConfig
from serving.launch.command import command
from serving.sglang_wire import sse_events

_SILENCE_S = 300.0  # longest, inside one answer; a busy machine takes its time
_LOOK_S = 0.5
_NO_CALLS = "the small model seldom calls tools, and the programs leave it the choice"


@dataclass(slots=True)
class _Passing:
    """One reply on its way."""

    asked: Asked
    prompt_ids: tuple[int, ...]
    words: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def drawn(self) -> Drawn:
        return Drawn(self.asked, self.prompt_ids, "".join(self.words), tuple(self.ids), tuple(self.logprobs))


class RelayedEngine:
    """An `Engine`. Args: url, config: of SGLang, as nextstate starts it; model_path: of its model."""

    not_asked: Mapping[Check, str] = {"parallel": _NO_CALLS}

    def __init__(self, url: str, config: EngineConfig, model_path: Path) -> None:
        self.context_length = config.context_length
        self._tokenizer = Tokenizer.from_file(str(model_path / "tokenizer.json"))
        self._url = url
        self.begin()

    def begin(self) -> None:
        """As `Engine.begin`."""
        self._away = Away()
        self._passing: list[_Passing] = []

    @property
    def drawn(self) -> tuple[Drawn, ...]:
        """As `Engine.drawn`."""
        return tuple(reply.drawn() for reply in self._passing)

    @property
    def num_failures(self) -> int:
        """As `Engine.num_failures`."""
        return int(self._away.has_been)

    async def generate(self, request: Request) -> Response:
        """POST /generate, handed on."""
        body = await request.body()
        prompt_ids = tuple(orjson.loads(body)["input_ids"])
        what = asked(self._tokenizer.decode(list(prompt_ids), skip_special_tokens=False))
        if self._away.now(what):
            return JSONResponse({"error": {"message": "The engine is away, as the benchmark wants it."}}, 503)
        client = self._connect()
        headers = {"content-type": request.headers["content-type"]}
        reply = await client.send(client.build_request("POST", "/generate", content=body, headers=headers), stream=True)
        if not reply.is_success:
            async with aclosing(client), aclosing(reply):
                return Response(await reply.aread(), reply.status_code, media_type="application/json")
        self._passing.append(_Passing(what, prompt_ids))
        return StreamingResponse(_handed_on(client, reply, self._passing[-1]), media_type="text/event-stream")

    async def tell(self, request: Request) -> Response:
        """GET anything, handed on."""
        async with self._connect() as client:
            reply = await client.get(request.url.path)
        return Response(reply.content, reply.status_code, media_type=reply.headers.get("content-type"))

    def _connect(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._url, timeout=_SILENCE_S, trust_env=False)


async def _handed_on(client: httpx.AsyncClient, reply: httpx.Response, passing: _Passing) -> AsyncIterator[bytes]:
    """Events as they come. When the gateway leaves, so does this, and SGLang stops drawing."""
    async with aclosing(client), aclosing(reply):
        async for event in sse_events(reply.aiter_raw()):
            _keep(event, passing)
            yield b"data: " + orjson.dumps(event) + b"\n\n"
        yield b"data: [DONE]\n\n"


def _keep(event: object, passing: _Passing) -> None:
    match event:
        case {"text": str(text), "output_ids": list(ids), "meta_info": {"output_token_logprobs": list(logprobs)}}:
            passing.words.append(text)
            passing.ids += ids
            passing.logprobs += [logprob for logprob, *_ in logprobs]


@contextmanager
def relayed_sglang(config: EngineConfig, model_path: Path, log_file: Path) -> Iterator[RelayedEngine]:
    """A SGLang of the benchmark's own, and the engine before it, for the length of the `with`.

    Raises:  FatalError: it did not start.
    """
    port = choose_port(None, "")
    arguments, environment = command(config, model_path, port)
    process = Process.start("engine", arguments, log_file, with_tethered_children(ENVIRONMENT | environment))
    try:
        url = f"http://{HOST}:{port}"
        live = Live(process, log_file)
        live.wait_for(partial(answers, f"{url}/health"), config.boot_timeout_s, _LOOK_S)
        yield RelayedEngine(url, config, model_path)
    finally:
        process.stop()
