"""`talks_by_framework`: conversations through an agent framework, which runs as it is in a process of its own.

The framework lies in the environment that `nextstate bench clients` installs it in, and a program of `programs/` holds
its agents there and keeps their conversations, each framework in its own way. Owns that process. Consumes the people's
words, hands them over as JSON lines, and produces the answers that come back (programs/answering.py has the form).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import orjson

from infra.connect.clients import Client, client_named
from infra.connect.install import installed, own_environment
from infra.connect.lines import Address, connecting
from infra.demo.talk import OpenTalk, Talk
from infra.process import last_line
from schemas.errors import EngineUnavailableError, FatalError, SettingsError

FRAMEWORKS = ("openai-agents", "pydantic-ai")  # names of clients
PROGRAMS = Path(__file__).with_name("programs")
ANSWER_S = 600.0  # the SDKs' own patience; a framework that is still silent then has forgotten the request
MAX_LINE_BYTES = 1024 * 1024  # an answer has 72 tokens
MAX_SHOWN = 80  # bytes of a line that is no answer


@dataclass(frozen=True, slots=True)
class Framework:
    """One that is installed. Args: command: runs its Python; folder: where it lies."""

    client: Client
    command: tuple[str, ...]
    folder: Path


def install_framework(name: str, clients: Path, report: Callable[[str], None]) -> Framework:
    """Installs a framework where it is not there yet.

    Args:    name: of the client; clients: the folder for all of them; report: told what is being installed.
    Raises:  SettingsError: the users cannot talk through it; MissingRuntimeError: it cannot be installed.
    """
    if name not in FRAMEWORKS:
        known = ", ".join(FRAMEWORKS)
        raise SettingsError(f"--through {name}: the demo's users talk through openai, its SDK, or one of {known}.")
    client, folder = client_named(name), clients / name
    report(f"The users talk through {', '.join(client.packages)}, in {folder}")
    return Framework(client, installed(client, folder), folder)


@contextlib.asynccontextmanager
async def talks_by_framework(
    framework: Framework, address: Address, temperature: float, home: Path
) -> AsyncIterator[OpenTalk]:
    """Opens conversations, as long as the `async with` lasts.

    Args:    address: of the gateway; home: a folder for the program; what it writes beside its answers goes into
             `output.log` there.
    """
    process, log_file = await _started(framework, address, home)
    program = _Program(framework.client.name, process, log_file)
    reading = asyncio.create_task(program.read())
    numbers = count(1)

    def open_talk(user: str) -> Talk:
        return _Talk(program, f"{user}/{next(numbers)}", user, temperature)

    try:
        yield open_talk
    finally:
        reading.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _started(framework: Framework, address: Address, home: Path) -> tuple[asyncio.subprocess.Process, Path]:
    """The process, and where its errors go."""
    client, log_file = framework.client, home / "output.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *framework.command,
            str(PROGRAMS / f"{client.name}.py"),
            address.model,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=home,
            env=own_environment(framework.folder, home, connecting(client, address).environment),
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the demo, which ends it
        )
    return process, log_file


class _Talk:
    """A conversation by its name; the program has its history."""

    def __init__(self, program: "_Program", name: str, user: str, temperature: float) -> None:
        self._program = program
        self._about = {"conversation": name, "user": user, "temperature": temperature}

    async def say(self, text: str, max_tokens: int) -> str:
        """As `Talk.say`."""
        return await self._program.answer({**self._about, "text": text, "max_tokens": max_tokens})


class _Program:
    """The process, and who waits for an answer of it."""

    def __init__(self, client: str, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self._client = client
        self._process = process
        self._log_file = log_file
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._failure: FatalError | None = None

    async def answer(self, request: dict[str, object]) -> str:
        """The answer to a request.

        Raises:  EngineUnavailableError: the framework gave up on it, or is silent; FatalError: the program is of no use
                 any more.
        """
        if self._failure is not None:
            raise self._failure
        assert self._process.stdin is not None  # it was started with a pipe
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._process.stdin.write(orjson.dumps({"id": number, **request}) + b"\n")
        try:
            return await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            message = f"{self._client} has not answered for {ANSWER_S:g} s."
            raise EngineUnavailableError(message) from None
        finally:
            del self._waiting[number]

    async def read(self) -> None:
        """Hand out answers until the program ends or writes something else; then nobody waits any longer."""
        reason = await self._hand_out()
        message = f"The program that talks through {self._client} {reason}; {self._log_file} ends: "
        self._failure = FatalError(message + last_line(self._log_file))
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(self._failure)

    async def _hand_out(self) -> str:
        """Answers, one a line. Returns: why there are no more."""
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                if not self._take(line):
                    return f"wrote a line that is no answer ({line[:MAX_SHOWN]!r})"
        except ValueError:
            return f"wrote a line of more than {MAX_LINE_BYTES} bytes"
        return f"ended with exit code {await self._process.wait()}"

    def _take(self, line: bytes) -> bool:
        """Whether it was an answer."""
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            return False
        with contextlib.suppress(KeyError, asyncio.InvalidStateError):  # whoever asked may wait no longer
            match told:
                case {"id": int(number), "answer": str(text)}:
                    self._waiting[number].set_result(text)
                case {"id": int(number), "error": str(reason)}:
                    error = EngineUnavailableError(f"{self._client} gave up: {reason}")
                    self._waiting[number].set_exception(error)
                case _:
                    return False
        return True
