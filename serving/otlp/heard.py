"""`Heard`: the calls that were told lately, to know another span of the same call.

Frameworks and the clients below them are often instrumented both, so one call of a model comes as two spans: the
framework's is around the client's in one trace, or says the same words at the same time in a trace of its own
(OpenInference's of LangChain does). Told twice, nobody could say which of the two a user answers.

Two people may say the same words at the same time, too. Spans that name different conversations or different people are
of different calls, and so are those of two traces that name different responses. Where nothing tells equal calls apart
that were made side by side, only one is told: it stands for the others. Owns a bounded memory; a span of a call that it
has forgotten is told as a turn.
"""

from collections.abc import MutableMapping
from typing import NamedTuple

from cachetools import LRUCache

from schemas.identity import digest_text
from schemas.messages import UNMATCHED_ROLES, digest_message
from serving.otlp.spans import Span, response_id
from streams.observed import ObservedTurn

_NUM_REMEMBERED = 10_000  # the outer span ends right after the inner one, mostly in the same batch
_NUM_ALIKE = 16  # calls with the same words; of more at the same time, an outer span is taken for a call
_OuterId = tuple[str, str, str]  # tenant, trace, span


class Call(NamedTuple):
    """A call, as its spans tell of it; "" is nothing."""

    action_id: str
    start_ns: int
    end_ns: int
    trace_id: str
    session_id: str
    subject: str
    response_id: str

    def may_be(self, other: "Call") -> bool:
        """Whether both can be one call: either was open all the time that the other was, and no name says otherwise."""
        is_within = (self.start_ns - other.start_ns) * (self.end_ns - other.end_ns) <= 0
        names = [(self.session_id, other.session_id), (self.subject, other.subject)]
        if self.trace_id != other.trace_id:
            names.append((self.response_id, other.response_id))
        return is_within and all(one == another for one, another in names if one and another)

    def with_names_of(self, other: "Call") -> "Call":
        """The call with what another span of it says, too."""
        return self._replace(
            session_id=self.session_id or other.session_id,
            subject=self.subject or other.subject,
            response_id=self.response_id or other.response_id,
        )


class Heard:
    """Owns what it remembers of calls: the spans around them, and their words, times and names."""

    def __init__(self) -> None:
        self._outer: MutableMapping[_OuterId, bool] = LRUCache(_NUM_REMEMBERED)
        self._by_words: MutableMapping[str, tuple[Call, ...]] = LRUCache(_NUM_REMEMBERED)  # oldest first

    def is_again(self, turn: ObservedTurn, span: Span) -> bool:
        """Whether the span tells a call that another span has told. Remembers it either way."""
        is_outer = (turn.tenant, span.trace_id, span.span_id) in self._outer
        if span.parent_id:  # what is around both is an outer span too
            self._outer[turn.tenant, span.trace_id, span.parent_id] = True
        words, call = _words(turn), call_of_turn(turn, span)
        calls = self._by_words.get(words, ())
        if is_outer or any(call.action_id == told.action_id for told in calls):
            return is_outer
        same = next((told for told in calls if call.may_be(told)), None)
        if same is None:
            self._by_words[words] = (*calls, call)[-_NUM_ALIKE:]
            return False
        self._by_words[words] = tuple(told.with_names_of(call) if told is same else told for told in calls)
        return True


def call_of_turn(turn: ObservedTurn, span: Span) -> Call:
    """The call that a span tells of."""
    return Call(
        action_id=turn.action_id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        trace_id=span.trace_id,
        session_id=turn.session_id or "",
        subject=turn.subject,
        response_id=response_id(span),
    )


def _words(turn: ObservedTurn) -> str:
    read = (message for message in turn.messages if message.role not in UNMATCHED_ROLES)
    return digest_text(turn.tenant, *map(digest_message, (*read, turn.reply)))
