"""`Heard`: the calls that were told lately, to know another span of the same call.

Frameworks and the clients below them are often instrumented both, so one call of a model comes as two spans: the
framework's is around the client's in one trace, or says the same words at the same time in a trace of its own
(OpenInference's of LangChain does). Told twice, nobody could say which of the two a user answers. Of equal calls that
were made side by side only one is told, too: it stands for the others. Owns a bounded memory; a span of a call that it
has forgotten is told as a turn.
"""

from collections.abc import MutableMapping
from typing import NamedTuple

from cachetools import LRUCache

from schemas.identity import digest_text
from schemas.messages import UNMATCHED_ROLES, digest_message
from serving.otlp.spans import Span
from streams.observed import ObservedTurn

_NUM_REMEMBERED = 10_000  # the outer span ends right after the inner one, mostly in the same batch
_OuterId = tuple[str, str, str]  # tenant, trace, span


class _Call(NamedTuple):
    """What is remembered of a told call."""

    action_id: str
    start_ns: int
    end_ns: int


class Heard:
    """Owns what it remembers of calls: the spans around them, and their words and times."""

    def __init__(self) -> None:
        self._outer: MutableMapping[_OuterId, bool] = LRUCache(_NUM_REMEMBERED)
        self._by_words: MutableMapping[str, _Call] = LRUCache(_NUM_REMEMBERED)

    def is_again(self, turn: ObservedTurn, span: Span) -> bool:
        """Whether the span tells a call that another span has told. Remembers it either way."""
        is_outer = (turn.tenant, span.trace_id, span.span_id) in self._outer
        if span.parent_id:  # what is around both is an outer span too
            self._outer[turn.tenant, span.trace_id, span.parent_id] = True
        words, call = _words(turn), _Call(turn.action_id, span.start_ns, span.end_ns)
        other = self._by_words.get(words, call)
        if is_outer or (other.action_id != call.action_id and _is_within(call, other)):
            return True
        self._by_words[words] = call
        return False


def _words(turn: ObservedTurn) -> str:
    read = (message for message in turn.messages if message.role not in UNMATCHED_ROLES)
    return digest_text(turn.tenant, *map(digest_message, (*read, turn.reply)))


def _is_within(one: _Call, other: _Call) -> bool:
    """Whether either was open all the time that the other was."""
    return (one.start_ns - other.start_ns) * (one.end_ns - other.end_ns) <= 0
