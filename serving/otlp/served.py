"""`Served`: the calls that this gateway has answered itself, to know the spans that tell of them.

An agent whose base URL is the gateway may be instrumented, too, and export to it. The answer is in the log already,
with its tokens; told again, by its words alone, it would be a second action, and nobody could say which of the two a
person answers.

The response id leads to the action, as do the ids of tool calls: both end in the action's (serving/reply_ids.py). Not
every instrumentation tells them. Then it is an action with this reply that read the same messages and ended while the
span was open. Other models and other people say the same words, too: a span that names another response, model, person
or conversation is of another call, and an action that one span has told is not another's. Owns a bounded memory of
which span told which action, and of whose clock agrees with ours.
"""

from collections import Counter
from collections.abc import MutableMapping

from cachetools import LRUCache

from schemas.identity import time_of
from schemas.messages import UNMATCHED_ROLES, digest_message
from serving.otlp.heard import Call, call_of_turn
from serving.otlp.spans import Span, process_of, response_id
from serving.reply_ids import NUM_ID_CHARS, action_of
from streams.conversation import ConversationIndex, session_conversation
from streams.observed import ObservedTurn
from streams.open_actions import OpenAction

_CLOCKS_DIFFER_MS = 60_000  # the agent may be on another machine
_CLOCKS_AGREE_MS = 2_000  # a span ends so soon after its answer is recorded, the way back and a slow reader included
_NUM_REMEMBERED = 10_000
_NS_PER_MS = 1_000_000


class Served:
    """Asked of one span after the other."""

    def __init__(self, index: ConversationIndex) -> None:
        self._index = index
        self._told_by: MutableMapping[str, str] = LRUCache(_NUM_REMEMBERED)  # action id -> the turn's that a span told
        self._clock_agrees: MutableMapping[str, bool] = LRUCache(_NUM_REMEMBERED)  # by the process that tells

    def names_answer(self, tenant: str, span: Span) -> bool:
        """Whether a span of any call names a response of this gateway's to the tenant."""
        return self._index.served(tenant, action_of(response_id(span))) is not None

    def is_told(self, turn: ObservedTurn, span: Span) -> bool:
        """Whether the turn that a span tells is one of this gateway's own, as long as that is open."""
        action = self._named(turn, span) or self._alike(turn, span)
        if action is None:
            return False
        self._told_by.setdefault(action.action_id, turn.action_id)
        self._clock_agrees[process_of(turn.tenant, span)] = 0 <= turn.time_ms - action.about.time_ms <= _CLOCKS_AGREE_MS
        return True

    def _named(self, turn: ObservedTurn, span: Span) -> OpenAction | None:
        names = (response_id(span), *(call.id or "" for call in turn.reply.tool_calls))
        known = (self._index.served(turn.tenant, action_of(name)) for name in names)
        return next((action for action in known if action is not None), None)

    def _alike(self, turn: ObservedTurn, span: Span) -> OpenAction | None:
        """The action with the span's words that is nearest in time, of those that nothing tells apart from it."""
        if response_id(span) or self._index.get(turn.action_id) is not None:
            return None  # it names another server's response, or is in the log as a turn of its own
        answered = self._index.known_by("reply", turn.tenant, digest_message(turn.reply))
        drawn_here = [action for action in answered if action.response_ids]
        if not drawn_here:
            return None  # so of most spans only the reply is looked at
        read = Counter(digest_message(message) for message in turn.messages if message.role not in UNMATCHED_ROLES)
        call = self._with_slack(turn, span)
        alike = [
            action
            for action in drawn_here
            if action.read == read
            and _is_model(turn.model, action.about.policy)
            and self._told_by.get(action.action_id, turn.action_id) == turn.action_id
            and call.may_be(_call_of_action(action))
        ]
        return min(alike, key=lambda action: abs(turn.time_ms - action.about.time_ms), default=None)

    def _with_slack(self, turn: ObservedTurn, span: Span) -> Call:
        """The span's call, open for as long as our clock may have said that it was."""
        slack_ms = _CLOCKS_AGREE_MS if self._clock_agrees.get(process_of(turn.tenant, span)) else _CLOCKS_DIFFER_MS
        call = call_of_turn(turn, span)
        return call._replace(
            start_ns=call.start_ns - slack_ms * _NS_PER_MS,
            end_ns=call.end_ns + slack_ms * _NS_PER_MS,
            session_id="" if turn.session_id is None else session_conversation(turn.tenant, turn.session_id),
        )


def _call_of_action(action: OpenAction) -> Call:
    """A served action as a call that its own span may be."""
    about, recorded_ns = action.about, action.about.time_ms * _NS_PER_MS
    return Call(
        action_id=about.id,
        start_ns=recorded_ns,
        end_ns=recorded_ns,
        trace_id="",
        session_id="" if _is_unnamed(action) else about.conversation_id,
        subject=about.subject,
        response_id=about.id,
    )


def _is_unnamed(action: OpenAction) -> bool:
    """Whether the client has not named the conversation: it has a time-ordered id then, where a name has a digest."""
    given = action.about.conversation_id
    try:
        return len(given) == NUM_ID_CHARS and time_of(given) <= action.about.time_ms
    except ValueError:
        return False


def _is_model(named: str, policy: str) -> bool:
    """Whether a span's model can be the policy; routers put the provider before it: openai/assistant."""
    return named in ("unknown", policy) or named.endswith((f"/{policy}", f":{policy}"))
