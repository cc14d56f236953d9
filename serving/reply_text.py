"""`ReplyText`: a reply that grows token by token, and what of it a client may see already.

Where tools are offered, text from the opening of a tool call on is held back until it is whole, and so is what may turn
out to be such an opening. What a client was sent and what is recorded as the reply are the same text, always: clients
send it back as history, and it is how the next request finds this action.
"""

from dataclasses import replace
from typing import Protocol

from schemas.events import Message
from serving.reply_ids import tool_call_id


class ReplyParser(Protocol):
    """What the policy's renderer knows about tool calls in text."""

    tool_call_open: str

    def parse_reply(self, text: str) -> Message:
        """Text and tool calls, apart."""


class ReplyText:
    """The text of one choice.

    Args:    parser: splits tool calls from text; None where the request offers no tools.
    """

    def __init__(self, parser: ReplyParser | None) -> None:
        self._parser = parser
        self._text = ""
        self._num_sent = 0

    def add(self, text: str) -> str:
        """Take more of the text; returns what may be sent now."""
        self._text += text
        end = self._safe_end()
        ready = self._text[self._num_sent : end]
        self._num_sent = max(self._num_sent, end)
        return ready

    def finish(self, action_id: str) -> tuple[str, Message]:
        """The text that is left to send, and the whole reply, its tool calls with ids that name their action."""
        reply = Message(role="assistant", content=self._text)
        if self._parser is not None:
            reply = self._with_calls(self._parser.parse_reply(self._text), action_id) or reply
        return reply.content[self._num_sent :], reply

    def _with_calls(self, parsed: Message, action_id: str) -> Message | None:
        if not parsed.tool_calls:
            return None
        sent = self._text[: self._num_sent]
        calls = tuple(replace(call, id=tool_call_id(action_id, n)) for n, call in enumerate(parsed.tool_calls))
        return replace(parsed, content=parsed.content if parsed.content.startswith(sent) else sent, tool_calls=calls)

    def _safe_end(self) -> int:
        if self._parser is None:
            return len(self._text)
        opening = self._parser.tool_call_open
        end = self._text.find(opening)
        if end < 0:
            partial = (n for n in range(len(opening) - 1, 0, -1) if self._text.endswith(opening[:n]))
            end = len(self._text) - next(partial, 0)
        return len(self._text[:end].rstrip())  # space before a call belongs to the call
