"""`OldConversation`: what a file of old chats says, whatever its format; and `BadLine`, where it says nothing usable.

Formats produce these, an import consumes them. Pure values: no ids, no tokens, no policy.
"""

from dataclasses import dataclass

from schemas.errors import RejectedError
from schemas.events import FinishReason, Message


class NotTheFormatError(RejectedError):
    """A file that is not what it says, as a whole; nothing of it can be imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in which file something stands."""

    file: str
    line: int  # from 1; in a file that is one JSON list, the number of the entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message, and what the file says about it."""

    message: Message
    time_ms: int | None = None  # since 1970
    model: str = ""  # who wrote it, of a reply
    finish_reason: FinishReason | None = None  # of a reply
    exit_code: int | None = None  # of a tool result


@dataclass(frozen=True, slots=True, kw_only=True)
class OldConversation:
    """Messages in their order, with the tools that were on offer (canonical JSON)."""

    place: Place
    said: tuple[Said, ...]
    tools: str = "[]"
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that holds no conversation. `preview`: its beginning."""

    place: Place
    error: RejectedError
    digest: str  # of the whole line: the same line again is the same rejection
    preview: str


Found = OldConversation | BadLine
