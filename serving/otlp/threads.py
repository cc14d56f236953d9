"""`Threads`: which conversation a call goes on with, by its trace, where nobody has named one.

The words alone cannot say it where two agents were given the same task and began it alike. But a call that goes on with
an answer of its own trace goes on with that one. So a conversation that opens in a trace is named after its first call,
and the calls behind it inherit the name; one that goes on in another trace, as a person does who answers later, is
found by its words. Owns a bounded memory; what it has forgotten is found by its words, too.
"""

from collections.abc import MutableMapping
from dataclasses import replace

from cachetools import LRUCache

from schemas.messages import digest_message
from serving.otlp.spans import Span
from streams.observed import ObservedTurn

_NUM_REMEMBERED = 10_000  # answers; a trace rarely lasts longer than a task
_Answer = tuple[str, str, str]  # tenant, trace, digest


class Threads:
    """Owns the names of conversations: of answers by their traces, and by conversation id."""

    def __init__(self) -> None:
        self._by_answer: MutableMapping[_Answer, str | None] = LRUCache(_NUM_REMEMBERED)  # None: of two conversations
        self._by_id: MutableMapping[str, str] = LRUCache(_NUM_REMEMBERED)

    def named(self, turn: ObservedTurn, span: Span) -> ObservedTurn:
        """The turn with the name of its conversation, as far as it has or gets one."""
        if turn.session_id is not None:
            return turn
        answers = [message for message in turn.messages if message.role == "assistant"]
        if not answers:
            return replace(turn, session_id=turn.action_id)
        answer = (turn.tenant, span.trace_id, digest_message(answers[-1]))
        return replace(turn, session_id=self._by_answer.get(answer))

    def remember(self, turn: ObservedTurn, span: Span, conversation_id: str) -> None:
        """Take note of where a turn was found to belong."""
        name = turn.session_id or self._by_id.get(conversation_id)
        if name is None:
            return
        self._by_id[conversation_id] = name
        answer = (turn.tenant, span.trace_id, digest_message(turn.reply))
        self._by_answer[answer] = name if self._by_answer.get(answer, name) == name else None
