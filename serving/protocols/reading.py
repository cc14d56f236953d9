"""What the read halves of the protocols share: fields of a body, messages with their places, turns made whole.

Pure. Consumes JSON as clients send it; produces messages in normal form, or an `ApiError` that names the field. Media
are read, so that a request can be matched before `refuse_media` refuses it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import RejectedError
from schemas.events import Message
from serving.api_errors import ApiError
from serving.call import Call

MAX_STOPS = 16
MAX_TOP_K = 2**31 - 1  # SGLang keeps it in 32 bits; a larger one would end its process
MAX_TOP_LOGPROBS = 20

Stop = Annotated[str, Field(min_length=1)]
TopP = Annotated[float, Field(gt=0, le=1)]
NumTokens = Annotated[int, Field(ge=1)]


class RequestBody(BaseModel):
    """The fields of a protocol that have an effect here; others pass. None is what a client may send for "not set"."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str
    stream: bool | None = None


class Placed(NamedTuple):
    """A message, and where the client wrote it."""

    place: str
    message: Message


@contextmanager
def placed_errors(place: str) -> Iterator[None]:
    """What is wrong with a message is said of its place."""
    try:
        yield
    except ApiError:
        raise
    except RejectedError as error:
        raise ApiError(str(error), param=place) from error


def whole_turns(said: Iterable[Placed]) -> list[Placed]:
    """One assistant message per turn.

    Clients take a reply apart and send its text and each of its tool calls back as a message or item of its own; it was
    served, and is matched, as one. So calls without text belong to the assistant message just before them.
    """
    turns: list[Placed] = []
    for one in said:
        if turns and _continues(turns[-1].message, one.message):
            place, begun = turns[-1]
            turns[-1] = Placed(place, replace(begun, tool_calls=(*begun.tool_calls, *one.message.tool_calls)))
        else:
            turns.append(one)
    return turns


def refuse_media(call: Call) -> None:
    """Raises:  ApiError: a message holds something that is not text."""
    for place, message in zip(call.places, call.messages, strict=True):
        if message.media:
            reason = f"This policy reads text only; leave out the {message.media[0].kind!r} part."
            raise ApiError(reason, param=place, code="unsupported_content")


def _continues(begun: Message, message: Message) -> bool:
    both_assistant = begun.role == message.role == "assistant"
    return both_assistant and bool(message.tool_calls) and not (message.content or message.media)
