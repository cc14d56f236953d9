"""`News`: what a span says that is new to the log, if anything.

    span ──► heard before? ──► served here? ──► named after its thread ──► conversation index ──► its events

* A second span of a call that is told already, by a framework around the client, adds nothing (heard.py).
* A call that this gateway has answered itself is in the log with its tokens, and counted as served (served.py).
* A conversation that nobody has named is found by its trace and its words (threads.py).
* A span without words is no loss where its process tells them in log records (content capture EVENT_ONLY), which come
  by themselves, sooner or later. Until the first of them has come, such spans are refused.

Owns what it remembers of all that; adds actions to the index. Consumes what was read of spans, in the order in which
they ended; produces events to record.
"""

from collections.abc import MutableMapping
from typing import Literal

from cachetools import LRUCache

from schemas.events import Event
from serving.otlp.heard import Heard
from serving.otlp.model_call import SpanRefusedError
from serving.otlp.served import Served
from serving.otlp.spans import Span, process_of
from serving.otlp.threads import Threads
from serving.otlp.turns import Passed, Told, defect
from streams.conversation import ConversationIndex
from streams.observed import ObservedTurn, events_of_observed, observed_id

_NUM_REMEMBERED = 10_000  # processes, of some days
# What a span is counted as, where it is not refused.
Became = Passed | Literal["turn", "repeated", "doubled", "served", "told_in_logs"]


class News:
    """Asked of one span after the other."""

    def __init__(self, index: ConversationIndex) -> None:
        self._index = index
        self._heard = Heard()
        self._served = Served(index)
        self._threads = Threads()
        self._tell_in_logs: MutableMapping[str, bool] = LRUCache(_NUM_REMEMBERED)

    def of(self, one: Told, tenant: str) -> tuple[Became | SpanRefusedError, tuple[Event, ...]]:
        """What becomes of a span, and the events that it tells, its action last. () where nothing is new."""
        match one.told:
            case ObservedTurn() as turn:
                try:
                    return self._of_turn(turn, one.span)
                except Exception:
                    return defect(one.span), ()
            case SpanRefusedError(reason="no_content") as refused:
                return self._without_words(one.span, tenant) or refused, ()
            case told:
                return told, ()

    def _without_words(self, span: Span, tenant: str) -> Became | None:
        """What a call is counted as that needs no words in its span; None: it does."""
        if self._served.names_answer(tenant, span):
            return "served"
        if self._index.get(observed_id(tenant, span.trace_id, span.span_id)) is not None:
            return "repeated"
        return "told_in_logs" if process_of(tenant, span) in self._tell_in_logs else None

    def _of_turn(self, turn: ObservedTurn, span: Span) -> tuple[Became, tuple[Event, ...]]:
        if span.is_log_record:
            self._tell_in_logs[process_of(turn.tenant, span)] = True
        if self._heard.is_again(turn, span):
            return "doubled", ()
        if self._served.is_told(turn, span):
            return "served", ()
        turn = self._threads.named(turn, span)
        events = events_of_observed(turn, self._index)
        for event in events:
            self._threads.remember(turn, span, event.conversation_id)
        return ("turn" if events else "repeated"), events
