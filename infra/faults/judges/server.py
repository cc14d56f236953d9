"""`JudgeServer`: an OpenAI-compatible judge and extractor that misbehaves as it is told, on a port of this machine.

What it does to a question stands in the question: `[case: NAME]` in the next state names one of its manners. So votes
of many transitions can be on their way at once, and yet it is known beforehand what each must become. `slow_s` comes
before whatever it does.
"""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

import orjson

from infra.ports import HOST

_CASE = re.compile(rb"\[case: ([^\]]+)\]")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HINT_TASK = b'one JSON object: {\\"hint\\"'  # stands in the extractor's task, within JSON
_FOR_EVER_S = 3600.0
_START_S = 10.0


class Door:
    """One question that came in, and the connection on which to answer it."""

    def __init__(self, question: bytes, writer: asyncio.StreamWriter) -> None:
        self.question = question  # the body of the request
        self.is_for_hint = _HINT_TASK in question
        self._writer = writer

    async def say(self, content: object) -> None:
        """A completion of the right form with this content."""
        await self.send(orjson.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]}))

    async def send(self, body: bytes, status: int = 200, headers: str = "") -> None:
        """A whole HTTP answer."""
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {len(body)}\r\n\r\n"
        await self.write(head.encode() + body)

    async def write(self, raw: bytes) -> None:
        """Bytes, whatever they are."""
        self._writer.write(raw)
        await self._writer.drain()

    async def reset(self) -> None:
        """Ends the connection without a word: the other side reads "connection reset"."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async def wait(self) -> None:
        """Keeps the connection open and says nothing more."""
        await asyncio.sleep(_FOR_EVER_S)


Manner = Callable[[Door], Awaitable[None]]


class JudgeServer:
    """The server, for the length of a `with`; it lives in a thread of its own.

    Args:    manners: what it can do, by name; the one of "" is for questions that name none.
    """

    def __init__(self, manners: Mapping[str, Manner]) -> None:
        self.slow_s = 0.0  # takes effect with the next question
        self.num_asked = 0
        self._manners = manners
        self._port = 0
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="judge-server", daemon=True)

    @property
    def url(self) -> str:
        """What the settings call `judge.url`."""
        return f"http://{HOST}:{self._port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._is_up.wait(_START_S):
            raise TimeoutError("The suite's judge server did not start.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._answer, HOST, 0)
        self._port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        await self._ended.wait()
        server.close()  # what is open still ends with the loop

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            question = await reader.readexactly(int(length[1]) if length else 0)
            self.num_asked += 1
            await asyncio.sleep(self.slow_s)
            case = _CASE.search(question)
            manner = self._manners[case[1].decode() if case else ""]
            await manner(Door(question, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # who asked has left, or the server ends
        finally:
            writer.close()
