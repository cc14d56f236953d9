"""The gateway's routes: any request, of any bytes, through the whole ASGI application.

The law: an answer of the protocol's own form, never a 5xx, for engine and log are well here; no exception, no log line
of an error, nothing left behind in a task. What is recorded is encoded as for Kafka and read back.
"""

import asyncio
import gzip
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from infra.faults.fuzz.case import Case
from infra.faults.fuzz.json_damage import damaged
from infra.faults.fuzz.mutation import Bytes
from infra.faults.fuzz.odd import BOMB, NESTED_BOMB
from infra.faults.fuzz.spans_damage import spans_damaged
from infra.faults.fuzz.target import Answer, Material, Target, WrongError
from infra.faults.fuzz.targets.gateway_answers import Reply, reasons_of
from infra.faults.fuzz.targets.gateway_seeds import HEADS, SEEDS, prelude
from infra.faults.fuzz.targets.gateway_world import World

_POST = "POST"
_MUTATORS: Mapping[str, Sequence[Bytes]] = {"reads": (), "otlp": (damaged, spans_damaged)}


def make(name: str, folder: Path) -> Target:  # noqa: ARG001 - every target's form
    """The target of one group of routes."""
    return GatewayTarget(Material(seeds=SEEDS[name](), mutators=_MUTATORS.get(name, (damaged,)), heads=HEADS))


class GatewayTarget:
    """Some routes."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self._runner = asyncio.Runner()
        self._troubles = _Troubles()
        self._runner.get_loop().set_exception_handler(
            lambda _, context: self._troubles.add(str(context.get("exception") or context["message"]))
        )
        logging.getLogger().addHandler(self._troubles)
        self._world = World()
        self._prelude = prelude()

    def fresh(self) -> None:
        """A new gateway, which has taken the actions that seeds speak of."""
        self._world = World()
        reply = self._runner.run(self._ask(self._prelude))
        if reply.status != 200:
            raise WrongError(f"the actions that seeds speak of are refused: {reply.body[:300]!r}")

    def attempt(self, case: Case) -> Answer:
        """One request."""
        self._troubles.clear()
        reply = self._runner.run(self._ask(case))
        if reply.status >= 500:
            raise WrongError(f"answered {reply.status}: {reply.body[:120]!r}; {self._troubles.told()}")
        if self._troubles:
            raise WrongError(f"answered {reply.status}, but said: {self._troubles.told()}")
        return Answer(is_taken=reply.status < 400, reasons=reasons_of(reply))

    async def _ask(self, case: Case) -> Reply:
        request = _request_of(case)
        reply = await self._world.ask(request.method, request.path, request.query, request.headers, request.body)
        await self._world.settle()
        return reply


class _Request(NamedTuple):
    method: str
    path: str
    query: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


def _request_of(case: Case) -> _Request:
    headers = {name.lower(): value for name, value in case.pairs("headers")}
    return _Request(
        case.text("method", _POST) or _POST,
        case.text("path", "/v1/chat/completions"),
        case.text("query"),
        [(_latin(name), _latin(value)) for name, value in headers.items()],
        _encoded(case.body, case.text("pack"), headers),
    )


def _encoded(body: bytes, pack: str, headers: Mapping[str, str]) -> bytes:
    match pack:
        case "gzip":
            return gzip.compress(body, 1)
        case "cut":
            return gzip.compress(body, 1)[: -(1 + len(body) % 20)]
        case "twice":
            return gzip.compress(body, 1) * 2
        case "bomb":
            return BOMB
        case "nested":
            return NESTED_BOMB
        case _:
            return gzip.compress(body, 1) if headers.get("content-encoding") == "gzip" and pack != "plain" else body


def _latin(text: str) -> bytes:
    """As HTTP sends it; servers refuse what cannot end a header."""
    return text.encode("latin-1", "replace").replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\0", b" ")


class _Troubles(logging.Handler):
    """What went wrong without a word to the client: errors in the log, exceptions that nobody fetched."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._said: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._said)

    def add(self, sentence: str) -> None:
        self._said.append(sentence)

    def clear(self) -> None:
        self._said.clear()

    def emit(self, record: logging.LogRecord) -> None:
        error: Any = record.exc_info[1] if record.exc_info else None
        place = error.__traceback__ if error is not None else None
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f" at {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
        self.add(f"{type(error).__name__ if error else record.getMessage()}{where} {str(error)[:80] if error else ''}")

    def told(self) -> str:
        return "; ".join(self._said[:2])
