"""`talk`: one conversation with one side, timed: every request holds all that was said before, as clients send it.

Consumes a side's url; produces a `Timing` per turn. An answer that is not the scripted engine's ends the benchmark: a
quick refusal must not count as a quick answer.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import aiohttp
import orjson

from infra.bench.gateway.script import Script
from infra.demo.questions import ASKED
from schemas.errors import FatalError

MAX_TOKENS = 64  # more than the engine says
ANSWER_S = 120.0  # longest wait for one answer; a side that is overrun answers late, but answers
SystemPrompt = Callable[[int], str | None]  # by a number that grows with every turn
Name = Literal["engine", "gateway", "reference"]


class Spoken(TypedDict):
    """A message of a request."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Who is asked: by an OpenAI client's request, at `url`. `pids`: of the processes that the answer costs."""

    name: Name
    url: str
    model: str
    headers: Mapping[str, str]
    takes_sessions: bool  # it records only turns that say by header to which session they belong
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One answer, in seconds from when the request was sent. `first_token_s` is None where it did not stream."""

    first_token_s: float | None
    whole_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """How conversations go. `number` tells them apart; it decides what is asked."""

    system_prompt: SystemPrompt
    num_turns: int
    is_streaming: bool

    def question(self, number: int, turn: int) -> str:
        """What the client asks."""
        return ASKED[(number + turn) % len(ASKED)]

    def messages(self, number: int, history: Sequence[Spoken]) -> list[Spoken]:
        """What a request holds: the system prompt of this moment, and all that was said."""
        prompt = self.system_prompt(self.num_turns * number + len(history) // 2)
        system = [] if prompt is None else [Spoken(role="system", content=prompt)]
        return [*system, *history]

    def body(self, side: Side, number: int, history: Sequence[Spoken]) -> bytes:
        """A request."""
        asked = {"model": side.model, "messages": self.messages(number, history), "stream": self.is_streaming}
        return orjson.dumps({**asked, "max_tokens": MAX_TOKENS, "temperature": 0.7, "top_p": 1.0})

    def headers(self, side: Side, number: int, turn: int) -> dict[str, str]:
        """The headers of a request."""
        headers = {**side.headers, "content-type": "application/json"}
        if side.takes_sessions:
            is_last = turn == self.num_turns - 1
            headers |= {"x-session-id": f"talk-{number}", "x-turn-type": "main", "x-session-done": str(is_last).lower()}
        return headers


class Caller:
    """A client of all sides; `async with caller(script) as it`."""

    def __init__(self, session: aiohttp.ClientSession, script: Script) -> None:
        self._session = session
        self._script = script
        self.num_answers = 0

    async def talk(self, side: Side, talk: Talk, number: int, after_s: float = 0.0) -> list[Timing]:
        """One conversation, begun after a pause. Returns: a timing per turn.

        Raises:  FatalError: an answer failed, or is not what the engine wrote.
        """
        await asyncio.sleep(after_s)
        history: list[Spoken] = []
        timings = []
        for turn in range(talk.num_turns):
            history.append(Spoken(role="user", content=talk.question(number, turn)))
            body, headers = talk.body(side, number, history), talk.headers(side, number, turn)
            timing, text = await self._ask(side, body, headers, is_streaming=talk.is_streaming)
            if not self._script.is_answer(text):
                raise FatalError(f"The {side.name} of the benchmark answered {text[:200]!r}, which the engine did not.")
            self.num_answers += 1
            timings.append(timing)
            history.append(Spoken(role="assistant", content=text))
        return timings

    async def set_pace(self, engine: Side, first_token_s: float, token_s: float) -> None:
        """How fast the engine answers from now on."""
        await self._session.post(f"{engine.url}/pace", json={"first_token_s": first_token_s, "token_s": token_s})

    async def _ask(
        self, side: Side, body: bytes, headers: Mapping[str, str], *, is_streaming: bool
    ) -> tuple[Timing, str]:
        started_s = time.perf_counter()
        try:
            async with self._session.post(f"{side.url}/v1/chat/completions", data=body, headers=headers) as response:
                if response.status != 200:
                    raise FatalError(
                        f"The {side.name} of the benchmark refused ({response.status}): {await response.text()}"
                    )
                if not is_streaming:
                    answer = await response.read()
                    whole_s = time.perf_counter() - started_s
                    text = orjson.loads(answer)["choices"][0]["message"]["content"]
                    return Timing(first_token_s=None, whole_s=whole_s), text
                first_s, parts = await _read_stream(response)
                whole_s = time.perf_counter() - started_s
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise FatalError(f"The {side.name} of the benchmark did not answer: {reason}") from error
        text = "".join(map(_content, b"".join(parts).split(b"\n\n")))
        return Timing(first_token_s=first_s - started_s, whole_s=whole_s), text


@asynccontextmanager
async def caller(script: Script) -> AsyncIterator[Caller]:
    """A client for as long as the `async with` lasts.

    Each request has a connection of its own: a server whose loop is held up closes a kept one while it is asked again.
    """
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Caller(session, script)


async def _read_stream(response: aiohttp.ClientResponse) -> tuple[float, list[bytes]]:
    """When the first words were there, and all bytes. Only what comes before them is looked at while time is taken."""
    parts: list[bytes] = []
    first_s: float | None = None
    async for part in response.content.iter_any():
        parts.append(part)
        if first_s is None and any(map(_content, b"".join(parts).split(b"\n\n")[:-1])):
            first_s = time.perf_counter()
    return first_s or time.perf_counter(), parts


def _content(event: bytes) -> str:
    """The words of an event of the stream."""
    data = event.removeprefix(b"data:").strip()
    if not data or data == b"[DONE]":
        return ""
    chunk: Any = orjson.loads(data)
    return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", ()))
