"""`Wire`: the port that a protocol implements: requests read into a `Call`, replies written as the client expects them.

    bytes ──► Wire.read ──► Call ──► ... Turn ... ──► ChoiceFinished ──► Wire.whole ──► JSON
                                          └─ TextAdded, ChoiceFinished ──► ReplyStream ──► server-sent events

Everything between is the same for all protocols. Adding one is one module or folder here, and its name in `WIRES`
(serving/protocols/__init__.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import orjson

from schemas.events import Message
from serving.api_errors import ApiError
from serving.call import Call
from serving.config import GatewayConfig
from serving.turn import ChoiceFinished, TextAdded

JsonObject = dict[str, Any]


class EarlierAction(Protocol):
    """What a request can refer to."""

    @property
    def action_id(self) -> str:
        """Its id."""

    @property
    def reply(self) -> Message:
        """What it said."""

    def all_messages(self) -> tuple[Message, ...]:
        """What it had read."""


Earlier = Callable[[str], EarlierAction | None]  # by id, an action of the same tenant, while it is open


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is known of a reply before its first token."""

    action_ids: tuple[str, ...]  # one per choice
    created_s: int
    call: Call
    num_prompt_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens read and written. `cached_tokens` of the prompt came from the engine's prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class Refusal(NamedTuple):
    """An error as a response of the protocol."""

    status: int
    body: JsonObject


class ReplyStream(Protocol):
    """One reply while it is drawn, as the bytes of server-sent events; none where there is nothing to tell."""

    def begin(self) -> bytes:
        """Before anything is drawn."""

    def add(self, added: TextAdded) -> bytes:
        """A choice has grown."""

    def finish(self, choice: ChoiceFinished) -> bytes:
        """A choice is drawn, and its action safe."""

    def end(self, choices: Sequence[ChoiceFinished]) -> bytes:
        """All choices have finished."""

    def fail(self, error: ApiError) -> bytes:
        """Instead of the rest."""


class Wire(Protocol):
    """One protocol. `path` is its endpoint; whatever lies below that has its errors."""

    path: str
    request_id_header: str

    def read(self, raw: bytes, config: GatewayConfig, earlier: Earlier) -> Call:
        """The request in a body.

        Raises:  ApiError: not JSON, a field of a wrong type or out of range, a message that cannot be read, a reply
                 that is referred to and is not there.
        """

    def whole(self, head: Head, choices: Sequence[ChoiceFinished]) -> JsonObject:
        """The body of a response that is not streamed."""

    def stream(self, head: Head) -> ReplyStream:
        """The same reply as a stream."""

    def refusal(self, error: ApiError, request_id: str) -> Refusal:
        """The response to a request that is refused."""


def usage_of(head: Head, choices: Sequence[ChoiceFinished]) -> Usage:
    """What a reply took."""
    return Usage(
        prompt_tokens=head.num_prompt_tokens,
        completion_tokens=sum(len(choice.action.response_ids) for choice in choices),
        cached_tokens=max(choice.cached_tokens for choice in choices),
    )


def told_of(choices: Sequence[ChoiceFinished]) -> JsonObject:
    """What the end of a stream adds to the protocol where a reply is served unrecorded: its headers came too early."""
    return {} if all(choice.recorded for choice in choices) else {"x_recorded": False}


def server_sent(value: JsonObject, *, event: str = "") -> bytes:
    """One event of a stream."""
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + orjson.dumps(value) + b"\n\n"
