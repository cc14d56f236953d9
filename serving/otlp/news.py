"""`News`: what a span says that is new to the log, if anything.

    span ──► heard before? ──► served here? ──► named after its thread ──► conversation index ──► its events

* A second span of a call that is told already, by a framework around the client, adds nothing (heard.py).
* A call that this gateway has answered itself is in the log with its tokens, and counted as served (served.py).
* A conversation that nobody has named is found by its trace and its words (threads.py).

Owns what it remembers of both; adds actions to the index. Consumes what was read of spans, in the order in which they
ended; produces events to record.
"""

from typing import Literal

from schemas.events import Event
from serving.otlp.heard import Heard
from serving.otlp.model_call import SpanRefusedError
from serving.otlp.served import answered_here, served_here
from serving.otlp.spans import Span
from serving.otlp.threads import Threads
from serving.otlp.turns import Passed, Told, defect
from streams.conversation import ConversationIndex
from streams.observed import ObservedTurn, events_of_observed

Became = Passed | Literal["turn", "repeated", "doubled", "served"]  # what a span is counted as, where it is not refused


class News:
    """Asked of one span after the other."""

    def __init__(self, index: ConversationIndex) -> None:
        self._index = index
        self._heard = Heard()
        self._threads = Threads()

    def of(self, one: Told, tenant: str) -> tuple[Became | SpanRefusedError, tuple[Event, ...]]:
        """What becomes of a span, and the events that it tells, its action last. () where nothing is new."""
        match one.told:
            case ObservedTurn() as turn:
                try:
                    return self._of_turn(turn, one.span)
                except Exception:
                    return defect(one.span), ()
            case SpanRefusedError(reason="no_content") if answered_here(tenant, one.span, self._index):
                return "served", ()  # and needs no words
            case told:
                return told, ()

    def _of_turn(self, turn: ObservedTurn, span: Span) -> tuple[Became, tuple[Event, ...]]:
        if self._heard.is_again(turn, span):
            return "doubled", ()
        if served_here(turn, span, self._index):
            return "served", ()
        turn = self._threads.named(turn, span)
        events = events_of_observed(turn, self._index)
        for event in events:
            self._threads.remember(turn, span, event.conversation_id)
        return ("turn" if events else "repeated"), events
