"""`ChatEndpoint`: one question to a model behind an OpenAI-compatible URL, and its answer as text.

Whatever keeps the answer away is a JudgeUnavailableError whose sentence says what; the caller records it as an
abstention. An endpoint is believed in nothing: it has one deadline for the whole answer, however it drips, a bound on
how much it may send, and exactly one form in which it may answer.
"""

import asyncio
import ssl
from functools import cached_property
from typing import Any

import httpx
import orjson

from schemas.errors import JudgeUnavailableError

MAX_ANSWER_BYTES = 1024 * 1024  # a hint is 2 KB of JSON; a model that thinks aloud before it sends perhaps 100


class ChatEndpoint:
    """A model to ask. `max_concurrent` bounds the open requests, `timeout_s` each of them from its first byte."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None,
        temperature: float,
        timeout_s: float,
        max_concurrent: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.model = model
        self._url = f"{url.rstrip('/')}/chat/completions"
        # Not compressed: a megabyte on the wire would be a gigabyte in memory before anybody could count it.
        self._headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {api_key}"} if api_key else {})
        self._temperature = temperature
        self._timeout_s = timeout_s
        self._limit = asyncio.Semaphore(max_concurrent)
        self._transport = transport

    async def ask(self, task: str, material: str, *, max_tokens: int) -> str:
        """The model's answer to a task about untrusted material.

        Raises:  JudgeUnavailableError: no answer came, or none that has the protocol's form.
        """
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": task}, {"role": "user", "content": material}],
            "temperature": self._temperature,
            "max_tokens": max_tokens,
        }
        try:
            async with self._limit, asyncio.timeout(self._timeout_s):
                answer = await self._answer(orjson.dumps(body))
        except (TimeoutError, httpx.TimeoutException):
            raise JudgeUnavailableError(f"{self._url} did not answer in {self._timeout_s:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise JudgeUnavailableError(f"{self._url} cannot be reached: {error or type(error).__name__}.") from None
        return self._content(answer)

    async def _answer(self, body: bytes) -> bytes:
        headers = {**self._headers, "content-type": "application/json"}
        client = httpx.AsyncClient(timeout=None, transport=self._transport, verify=self._tls)
        async with client, client.stream("POST", self._url, content=body, headers=headers) as response:
            if not response.is_success:
                raise JudgeUnavailableError(f"{self._url} answered HTTP {response.status_code}.")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise JudgeUnavailableError(f"{self._url} compressed its answer, which it was asked not to.")
            received = bytearray()
            async for part in response.aiter_bytes():
                received += part
                if len(received) > MAX_ANSWER_BYTES:
                    raise JudgeUnavailableError(f"{self._url} answered with more than {MAX_ANSWER_BYTES} bytes.")
            return bytes(received)

    def _content(self, answer: bytes) -> str:
        try:
            (choice,) = orjson.loads(answer)["choices"]
            content: Any = choice["message"]["content"]
        except (ValueError, KeyError, TypeError):  # orjson refuses what is nested without end, or is no Unicode
            raise JudgeUnavailableError(f"{self._url} answered something that is no chat completion.") from None
        if not isinstance(content, str):
            raise JudgeUnavailableError(f"{self._url} answered without text.")
        return content

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made once: reading all certificates again for each vote would hold up everything else in the process."""
        return httpx.create_ssl_context()
