"""`SGLangEngine`: the client of one SGLang server: draw, and manage adapters.

Owns the connections to one server. Consumes `GenerateRequest`; produces `EngineChunk`s as the server draws them, and
errors of ours for everything else. Closing the iterator of `generate` closes its connection, and the engine stops
drawing for it.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from schemas.errors import EngineUnavailableError, SettingsError, TokenMismatchError
from schemas.identity import digest_text
from schemas.messages import canonical_json
from serving.config import EngineConfig
from serving.errors import EngineRefusedError
from serving.model_folder import outside_vocabulary, vocab_size
from serving.sglang_wire import (
    EngineChunk,
    GenerateRequest,
    JsonObject,
    ReplySoFar,
    engine_error,
    generate_body,
    read_chunk,
    read_scores,
    score_body,
    sse_events,
)

__all__ = ["EngineChunk", "GenerateRequest", "SGLangEngine"]

HEALTH_TIMEOUT = aiohttp.ClientTimeout(total=3.0)
# Longest silence of an engine that takes an adapter, or lets one go and waits for the requests that use it. Not
# `token_timeout_s`, which may be seconds: with that, an engine that is slow to load would never get a version.
CONTROL_SILENCE_S = 120.0


class SGLangEngine:
    """One SGLang server.

    Made where an event loop runs, since its connections belong to that one.

    Args:    url: where it listens; config: keys, timeouts and the base model's folder.
    """

    def __init__(self, url: str, config: EngineConfig) -> None:
        self._config = config
        self._url = url.rstrip("/")
        self._client = aiohttp.ClientSession(
            headers=_bearer(config.api_key),
            timeout=self._timeout(config.token_timeout_s),
            connector=aiohttp.TCPConnector(limit=0),  # the engine has its own queue
            json_serialize_bytes=orjson.dumps,
            trust_env=False,  # a proxy for the outside world is not one for the engine
        )

    async def generate(self, request: GenerateRequest) -> AsyncIterator[EngineChunk]:
        """Draw a reply, chunk by chunk; the last one has a finish reason.

        Raises:  EngineRefusedError: the engine does not take the request; EngineUnavailableError: it is away, full or
                 silent; TokenMismatchError: a token outside the vocabulary, or ids and log-probs that do not match.
        """
        self._check_ids(request.prompt_ids)
        so_far = ReplySoFar()
        async with _our_errors(), self._request("POST", "/generate", json=generate_body(request)) as response:
            if not _is_success(response):
                raise await _refusal(response)
            async for event in sse_events(response.content.iter_any()):
                chunk = read_chunk(event, so_far)
                yield chunk
                if chunk.finish_reason is not None:
                    return
        raise EngineUnavailableError("The engine ended a reply in the middle; was it stopped?")

    async def score(
        self, prompt_ids: tuple[int, ...], response_ids: tuple[int, ...], adapter: str | None
    ) -> tuple[float, ...]:
        """[T] nats: log-probs of a response that is there already, at temperature 1. Args: adapter: None: the base.

        Raises:  as `generate`.
        """
        self._check_ids((*prompt_ids, *response_ids))
        reply = await self._call("POST", "/generate", json=score_body(prompt_ids, response_ids, adapter))
        return read_scores(reply, response_ids)

    async def load_adapter(self, name: str, path: Path) -> None:
        """Take an adapter folder under a name. The folder must be checked before: a broken one can end the engine.

        Raises:  EngineRefusedError: not loadable, or the name is taken; EngineUnavailableError.
        """
        await self._control("/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})

    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter. The engine waits for requests that use it, and takes no other adapter meanwhile.

        Raises:  EngineRefusedError: it is not loaded; EngineUnavailableError: also while the engine still waits.
        """
        await self._control("/unload_lora_adapter", {"lora_name": name})

    async def loaded_adapters(self) -> set[str]:
        """Names of the adapters that the engine has.

        Raises:  EngineUnavailableError.
        """
        models = (await self._call("GET", "/v1/models"))["data"]
        return {model["id"] for model in models if model.get("parent") is not None}

    async def instance(self) -> str:
        """A name for the server process that answers now: another one after a restart.

        Raises:  EngineUnavailableError.
        """
        info = await self._call("GET", "/server_info")
        started = canonical_json(info.get("startup_time"))  # durations to the nanosecond: no two starts share them
        return digest_text(f"{self._url}/", started)[:16]

    async def health(self) -> bool:
        """Whether the server answers; costs no token (serving/launch turns the token of `/health` off)."""
        try:
            async with self._client.get(f"{self._url}/health", timeout=HEALTH_TIMEOUT) as response:
                return _is_success(response)
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _control(self, route: str, body: JsonObject) -> None:
        key = self._config.admin_api_key or self._config.api_key
        timeout = self._timeout(max(self._config.token_timeout_s, CONTROL_SILENCE_S))
        await self._call("POST", route, json=body, headers=_bearer(key), timeout=timeout)

    async def _call(self, method: str, route: str, **more: Any) -> JsonObject:
        async with _our_errors(), self._request(method, route, **more) as response:
            if not _is_success(response):
                raise await _refusal(response)
            reply = orjson.loads(await response.read())
        if not isinstance(reply, dict):
            message = f"The engine answered {route} with something that is no JSON object; is it SGLang 0.5.23?"
            raise EngineUnavailableError(message)
        return reply

    def _request(self, method: str, route: str, **more: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._client.request(method, f"{self._url}{route}", allow_redirects=False, **more)

    def _timeout(self, silence_s: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=None, connect=self._config.connect_timeout_s, sock_read=silence_s)

    def _check_ids(self, ids: tuple[int, ...]) -> None:
        """An id without an embedding row would end the engine's process, and with it every other request."""
        if self._config.model_path is None:
            raise SettingsError("Set engine.model_path to the folder of the model that the engine serves.")
        limit = vocab_size(Path(self._config.model_path))
        if (wrong := outside_vocabulary(ids, limit)) is not None:
            message = f"Token {wrong} is outside the vocabulary of {limit} tokens that the engine's model has."
            raise TokenMismatchError(message)


def _bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


def _is_success(response: aiohttp.ClientResponse) -> bool:
    return 200 <= response.status < 300


async def _refusal(response: aiohttp.ClientResponse) -> EngineRefusedError | EngineUnavailableError:
    content = await response.read()
    try:
        reply: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        reply = content.decode(errors="replace")
    return engine_error(response.status, reply)


@asynccontextmanager
async def _our_errors() -> AsyncIterator[None]:
    """Errors of aiohttp, and replies that are no JSON, as ours."""
    try:
        yield
    except TimeoutError as error:
        message = f"The engine did not answer in time ({type(error).__name__}); is it overloaded or hung?"
        raise EngineUnavailableError(message) from error
    except (aiohttp.ClientError, OSError, orjson.JSONDecodeError) as error:
        message = f"The engine cannot be reached or broke off: {str(error) or type(error).__name__}."
        raise EngineUnavailableError(message) from error
