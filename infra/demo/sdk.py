"""`talks_by_sdk`: conversations through the unmodified `openai` SDK, streaming, without extra headers."""

import httpx
import openai
from openai.types.chat import ChatCompletionMessageParam

from infra.demo.talk import OpenTalk, Talk
from schemas.errors import EngineUnavailableError


def talks_by_sdk(client: openai.AsyncOpenAI, model: str, temperature: float) -> OpenTalk:
    """Opens conversations with a model."""

    def open_talk(user: str) -> Talk:
        return _Talk(client, model, temperature, user)

    return open_talk


class _Talk:
    """A list of messages, as the SDK's guide shows it."""

    def __init__(self, client: openai.AsyncOpenAI, model: str, temperature: float, user: str) -> None:
        self._client = client
        self._model = model
        self._temperature = temperature
        self._user = user
        self._messages: list[ChatCompletionMessageParam] = []

    async def say(self, text: str, max_tokens: int) -> str:
        """As `Talk.say`."""
        self._messages.append({"role": "user", "content": text})
        answer = await ask(
            self._client,
            self._model,
            self._messages,
            user=self._user,
            temperature=self._temperature,
            max_tokens=max_tokens,
        )
        self._messages.append({"role": "assistant", "content": answer})
        return answer


async def ask(
    client: openai.AsyncOpenAI,
    model: str,
    messages: list[ChatCompletionMessageParam],
    *,
    user: str,
    temperature: float,
    max_tokens: int,
    headers: dict[str, str] | None = None,
) -> str:
    """One streamed answer, whole.

    Raises:  EngineUnavailableError: the gateway refused the request, or the answer broke off.
    """
    try:
        stream = await client.chat.completions.create(
            model=model,
            messages=messages,
            temperature=temperature,
            max_tokens=max_tokens,
            stream=True,
            user=user,
            extra_headers=headers,
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    except (openai.OpenAIError, httpx.HTTPError) as error:  # the SDK lets httpx's own through in mid-stream
        raise EngineUnavailableError(f"The gateway did not answer: {error}") from error
    return "".join(pieces)
