"""`people`: clients that talk to a gateway through the openai SDK, and write into a ledger what they were told.

Each person asks, is answered in a stream or at once, and then corrects, thanks, or hands over a tool's result; some
press a thumb. Nobody tries again: a request that fails is written down as that, and the next conversation begins.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import openai

from infra.faults.engine import TOOL
from infra.faults.ledger import Ledger

ANY_KEY = "none"
MAX_TOKENS = 160
PATIENCE_S = 60.0
_QUESTIONS = (
    "How can I sleep better?",
    "What should I cook tonight?",
    "How do I begin to run?",
    "Which book is short?",
)
_COMPLAINTS = ("No, that is wrong. Please write plain sentences.", "That is not what I asked. Try again.")
_THANKS = ("Perfect, thank you so much!", "Great, that helps a lot. Thanks!")
_TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


@contextlib.asynccontextmanager
async def people(
    ledger: Ledger,
    url: str,
    *,
    count: int,
    seed: int,
    pause_s: float = 0.0,
    patience_s: float = PATIENCE_S,
    max_tokens: int = MAX_TOKENS,
) -> AsyncIterator[None]:
    """They talk for the length of the `async with`.

    Args:    url: of the gateway; count: of people, one conversation each at a time; pause_s: between conversations;
             patience_s: how long they wait for a word; max_tokens: of an answer.
    """
    manner = _Manner(pause_s, patience_s, max_tokens)
    chances = [random.Random(f"{seed}/{number}") for number in range(count)]
    tasks = [asyncio.create_task(_live(ledger, url, chance, manner)) for chance in chances]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for one in ended:
        if isinstance(one, Exception):
            raise one


@dataclass(frozen=True, slots=True)
class _Manner:
    pause_s: float
    patience_s: float
    max_tokens: int


async def _live(ledger: Ledger, url: str, chance: random.Random, manner: _Manner) -> None:
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=ANY_KEY, max_retries=0, timeout=manner.patience_s) as client,
        httpx.AsyncClient(base_url=url, timeout=manner.patience_s, trust_env=False) as web,
    ):
        person = _Person(ledger, client, web, chance, manner.max_tokens)
        while True:
            await person.converse()
            await asyncio.sleep(manner.pause_s)


class _Person:
    def __init__(
        self,
        ledger: Ledger,
        client: openai.AsyncOpenAI,
        web: httpx.AsyncClient,
        chance: random.Random,
        max_tokens: int,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._web = web
        self._chance = chance
        self._max_tokens = max_tokens

    async def converse(self) -> None:
        """One conversation; it ends where a request fails."""
        offers_tools = self._chance.random() < 0.25
        messages: list[Any] = [{"role": "user", "content": self._chance.choice(_QUESTIONS)}]
        last = None
        for _ in range(self._chance.randint(2, 4)):
            answer = await self._ask(messages, offers_tools=offers_tools)
            if answer is None:
                await asyncio.sleep(0.2)  # as someone would wait who sees an error
                return
            action_id, message = answer
            if last is not None and not {last, action_id} & self._ledger.unrecorded:
                self._ledger.reacted_to.add(last)
            if self._chance.random() < 0.1:
                await self._rate(action_id)
            messages += [message, *self._reaction(message)]
            last = action_id

    def _reaction(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        if calls := message.get("tool_calls"):
            return [{"role": "tool", "tool_call_id": call["id"], "content": "17 degrees"} for call in calls]
        return [{"role": "user", "content": self._chance.choice(self._chance.choice((_COMPLAINTS, _THANKS)))}]

    async def _ask(self, messages: list[Any], *, offers_tools: bool) -> tuple[str, dict[str, Any]] | None:
        ask: Any = self._streamed if self._chance.random() < 0.5 else self._whole
        more = {"tools": _TOOLS} if offers_tools else {}
        heard = _Heard(time.monotonic())
        try:
            message = await ask(messages, more, heard)
        except (openai.OpenAIError, httpx.HTTPError) as error:
            status = error.status_code if isinstance(error, openai.APIStatusError) else None
            self._ledger.asked(**heard.facts(), error=f"{type(error).__name__}: {error}", status=status)
            return None
        self._ledger.asked(**heard.facts())
        self._ledger.acknowledged.add(heard.action_id)
        if not heard.is_recorded:
            self._ledger.unrecorded.add(heard.action_id)
        return heard.action_id, message

    async def _whole(self, messages: list[Any], more: dict[str, Any], heard: "_Heard") -> dict[str, Any]:
        raw = await self._client.chat.completions.with_raw_response.create(
            model="assistant", messages=messages, max_tokens=self._max_tokens, temperature=1.0, **more
        )
        heard.headers(raw.headers)
        heard.words()
        message = raw.parse().choices[0].message
        said: dict[str, Any] = {"role": "assistant", "content": message.content}
        if message.tool_calls:
            said["tool_calls"] = [call.model_dump() for call in message.tool_calls]
        return said

    async def _streamed(self, messages: list[Any], more: dict[str, Any], heard: "_Heard") -> dict[str, Any]:
        async with self._client.chat.completions.with_streaming_response.create(
            model="assistant", messages=messages, max_tokens=self._max_tokens, temperature=1.0, stream=True, **more
        ) as raw:
            heard.headers(raw.headers)
            text, calls, is_finished = "", [], False
            async for chunk in await raw.parse():
                heard.words()
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    calls += [call.model_dump(exclude={"index"}) for call in choice.delta.tool_calls or ()]
                    is_finished |= choice.finish_reason is not None
                # That nobody could record it may turn out after the headers.
                heard.is_recorded &= (chunk.model_extra or {}).get("x_recorded", True)
        if not is_finished:
            raise openai.APIConnectionError(message="The stream ended without its finish.", request=raw.http_request)
        said: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            said["tool_calls"] = calls
        return said

    async def _rate(self, action_id: str) -> None:
        body = {"action_id": action_id, "thumb": self._chance.choice(("up", "down"))}
        try:
            answer = await self._web.post("/v1/feedback", json=body)
        except httpx.HTTPError:
            return
        if answer.is_success:
            self._ledger.rated.add(action_id)


@dataclass(slots=True)
class _Heard:
    """What a client has been told of one request so far."""

    at_s: float
    first_s: float | None = None
    action_id: str = ""
    version: int | None = None
    is_recorded: bool = True

    def headers(self, headers: Any) -> None:
        """What stands before an answer."""
        self.action_id = headers["x-action-id"]
        self.version = int(headers["x-policy-version"])
        self.is_recorded = headers.get("x-recorded") != "false"

    def words(self) -> None:
        """Some words have come, or all."""
        self.first_s = self.first_s or time.monotonic() - self.at_s

    def facts(self) -> dict[str, Any]:
        """As the ledger has them."""
        told = {"action_id": self.action_id or None, "version": self.version}
        return {"at_s": self.at_s, "first_s": self.first_s, **told}
