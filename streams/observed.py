"""`events_of_observed`: the answer of a model that somebody else served, as the events that a gateway would record.

Whoever hears of such answers (an OTLP receiver, the recorder SDK) tells each one whole, as an `ObservedTurn`; the
conversation index finds the action that it follows. Pure but for the index: consumes turns, produces events.

* The words are all that is known. The action has no tokens of ours, and nobody's log-probs; the processors make the
  policy's tokens when it becomes a sample (`schemas.origin.lacks_tokens`).
* Ids are digests of the caller's own. An index that has the turn says nothing of it again: also one that another
  process has told, or this one before a restart, once it is restored or read back. An index that lacks it makes the
  same events if it has what came before and the caller gives the same time; else they differ under one id.
* A caller that could not make the events safe lets the index `forget` the action; then it can be told again.
* Turns are told in their order. One that comes before the turn it follows opens a conversation of its own.
"""

from dataclasses import dataclass, replace

from schemas.events import ActionTaken, Event, FinishReason, Message, Sampling, Source, TurnType
from schemas.identity import digest_text
from schemas.messages import answered_by
from schemas.origin import UNSCORED
from schemas.prompt import delta
from streams.conversation import ConversationIndex
from streams.match import Match, next_state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTurn:
    """One answer of a model that somebody else served.

    `action_id` is derived from the caller's own id of it (`observed_id`); `time_ms` is when the reply was whole;
    `messages` are everything that the model read; `policy` learns from it; `model` gave it.
    """

    action_id: str
    time_ms: int
    tenant: str = "default"
    policy: str
    subject: str = ""
    source: Source | None = None  # None: as the words say, tools or a person
    session_id: str | None = None  # the caller's name for the conversation, where it has one
    turn_type: TurnType = "main"
    messages: tuple[Message, ...]
    reply: Message
    tools: str = "[]"  # canonical JSON
    model: str
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    finish_reason: FinishReason


def observed_id(tenant: str, *names: str) -> str:
    """The id of what a caller knows by a name of its own: a trace and a span, say. Tenants cannot meet in it."""
    return digest_text("observed", tenant, *names)


def events_of_observed(turn: ObservedTurn, index: ConversationIndex) -> tuple[Event, ...]:
    """The next state of the action before it, if the turn says something new of that, and the action itself.

    Both are to be recorded in this order. The action is added to the index. () where the index has it already.
    """
    if index.get(turn.action_id) is not None:
        return ()
    match = index.match(
        tenant=turn.tenant, session_id=turn.session_id, messages=turn.messages, turn_type=turn.turn_type
    )
    if match.parent_action_id is None and turn.session_id is None:
        match = replace(match, conversation_id=digest_text("observed-conversation", turn.action_id))
    next_state = next_state_of(
        match,
        event_id=digest_text("observed-next-state", turn.action_id),
        time_ms=turn.time_ms,
        tenant=turn.tenant,
        subject=turn.subject,
        source=turn.source,
    )
    action = _action(turn, match)
    index.add(action)
    return (action,) if next_state is None else (next_state, action)


def _action(turn: ObservedTurn, match: Match) -> ActionTaken:
    return ActionTaken(
        id=turn.action_id,
        time_ms=turn.time_ms,
        policy=turn.policy,
        conversation_id=match.conversation_id,
        tenant=turn.tenant,
        subject=turn.subject,
        source=turn.source or answered_by(turn.reply),
        turn=match.turn,
        turn_type=turn.turn_type,
        request_id="",
        parent_action_id=match.parent_action_id,
        ambiguous=match.ambiguous,
        **delta(turn.messages, (), match.base).as_fields(),
        tools=turn.tools,
        template_digest="",
        reply=turn.reply,
        model=turn.model,
        sampling=turn.sampling,
        response_ids=(),
        response_logprobs=(),
        logprob_origin=UNSCORED,
        token_versions=(),
        finish_reason=turn.finish_reason,
    )
