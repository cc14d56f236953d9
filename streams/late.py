"""`late_next_states`: what requests said of actions that nobody here knew when they came.

A gateway that starts while Kafka is away knows no older conversation: a request that continues one is answered as a
conversation of its own, and recorded whole. Once the log can be read, this finds the action that it followed, and what
it says of it; the conversation that was opened stays as it is.

Pure but for the index, which must have been restored. Consumes recorded events; produces next states. What has been
told of a request is not told again, whoever told it, so this may be asked at every start.
"""

from collections.abc import Iterable, Iterator

from schemas.events import ActionTaken, NextStateObserved
from schemas.identity import digest_text, time_of
from streams.conversation import ConversationIndex
from streams.match import next_state_of

_AT_ONCE_MS = 60_000  # the id of a conversation is made when its first request comes; a session's is no time at all


def late_next_states(
    actions: Iterable[ActionTaken], next_states: Iterable[NextStateObserved], index: ConversationIndex
) -> Iterator[NextStateObserved]:
    """Those of requests that follow an action, and were recorded as if they did not. Args: what is recorded so far."""
    told = {state.request_id for state in next_states if state.kind == "messages"}  # an end is about the answer itself
    for action in {one.id: one for one in actions}.values():
        if action.request_id not in told and (state := late_next_state(action, index)) is not None:
            yield state


def late_next_state(action: ActionTaken, index: ConversationIndex) -> NextStateObserved | None:
    """What the request of this action says of the one that it follows; None where that is known, or still nowhere."""
    is_ours = action.id == action.request_id  # the first choice of a request to a gateway
    if not is_ours or action.parent_action_id is not None or not action.turn:
        return None
    try:
        asked_ms, opened_ms = time_of(action.request_id), time_of(action.conversation_id)
    except ValueError:  # no ids of ours
        return None
    opened_here = abs(opened_ms - asked_ms) < _AT_ONCE_MS
    match = index.match_late(action, None if opened_here else action.conversation_id, asked_ms)
    if match is None:
        return None
    return next_state_of(
        match,
        event_id=digest_text("late-next-state", action.request_id),
        time_ms=asked_ms,
        tenant=action.tenant,
        subject=action.subject,
        request_id=action.request_id,
    )
