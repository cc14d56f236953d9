"""`ChatEndpoint`: one question to a model behind an OpenAI-compatible URL, and its answer as text.

Whatever keeps the answer away is a JudgeUnavailableError whose sentence says what; the caller records it as an
abstention.
"""

import asyncio
import secrets

import httpx

from schemas.errors import JudgeUnavailableError


class ChatEndpoint:
    """A model to ask. `max_concurrent` bounds the open requests."""

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
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
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
            async with self._limit, httpx.AsyncClient(timeout=self._timeout_s, transport=self._transport) as client:
                response = await client.post(self._url, json=body, headers=self._headers)
            if not response.is_success:
                raise JudgeUnavailableError(f"{self._url} answered HTTP {response.status_code}.")
            content = response.json()["choices"][0]["message"]["content"]
        except httpx.TimeoutException:
            raise JudgeUnavailableError(f"{self._url} did not answer in {self._timeout_s:g} s.") from None
        except httpx.HTTPError as error:
            raise JudgeUnavailableError(f"{self._url} cannot be reached: {error or type(error).__name__}.") from None
        except (ValueError, KeyError, IndexError, TypeError):
            raise JudgeUnavailableError(f"{self._url} answered something that is no chat completion.") from None
        if not isinstance(content, str):
            raise JudgeUnavailableError(f"{self._url} answered without text.")
        return content


def fenced(parts: dict[str, str], max_chars: int) -> tuple[str, str]:
    """Untrusted texts between fences that they cannot contain.

    Returns: the fence's word, drawn anew for each call, and the texts, each cut to `max_chars` and fenced by its name.
    """
    word = secrets.token_hex(16)
    blocks = [f"<{name} {word}>\n{text[:max_chars]}\n</{name} {word}>" for name, text in parts.items()]
    return word, "\n".join(blocks)
