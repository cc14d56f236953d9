"""`served_here`: whether a span tells of a call that this gateway has answered itself.

An agent whose base URL is the gateway may be instrumented, too, and export to it. The answer is in the log already,
with its tokens; told again, by its words alone, it would be a second action, and nobody could say which of the two a
person answers.

The response id leads to the action, as do the ids of tool calls: both end in the action's (serving/reply_ids.py). Not
every instrumentation tells them. Then it is the action with this reply that read the same messages and ended while the
span was open.
"""

from collections import Counter

from schemas.messages import UNMATCHED_ROLES, digest_message
from serving.otlp.spans import Span, response_id
from serving.reply_ids import action_of
from streams.conversation import ConversationIndex
from streams.observed import ObservedTurn

_CLOCKS_DIFFER_MS = 60_000  # the agent may be on another machine
_NS_PER_MS = 1_000_000


def answered_here(tenant: str, span: Span, index: ConversationIndex) -> bool:
    """Whether a span of any call names a response of this gateway's to the tenant."""
    return index.served(tenant, action_of(response_id(span))) is not None


def served_here(turn: ObservedTurn, span: Span, index: ConversationIndex) -> bool:
    """Whether the turn that a span tells is one of this gateway's own, as long as that is open."""
    if answered_here(turn.tenant, span, index):
        return True
    if any(index.served(turn.tenant, action_of(call.id or "")) for call in turn.reply.tool_calls):
        return True
    began_ms, ended_ms = span.start_ns // _NS_PER_MS - _CLOCKS_DIFFER_MS, turn.time_ms + _CLOCKS_DIFFER_MS
    alike = [
        action
        for action in index.known_by("reply", turn.tenant, digest_message(turn.reply))
        if action.response_ids and began_ms <= action.about.time_ms <= ended_ms
    ]
    return bool(alike) and _read(turn) in [action.read for action in alike]


def _read(turn: ObservedTurn) -> Counter[str]:
    return Counter(digest_message(message) for message in turn.messages if message.role not in UNMATCHED_ROLES)
