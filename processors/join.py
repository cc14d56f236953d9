"""`JoinState`, `observe` and `join`: an action and its first next state become one transition, in whichever order.

Owns the rule which next state counts. The first real one does. `ended` counts only while there is no real one: it
makes a transition that is not judged, and a real next state that comes later supersedes it, because nothing has been
trained on `ended`. Later real next states (the client regenerated, edited or retried) are recorded as `branch` skips.

How turns are counted: a `branch` skip is about one next state, not about the action. So, per action, a sample counts
before any skip, and any other skip before `branch`; the DuckDB view `untrained` reads them in this order.

Consumes ActionTaken and NextStateObserved, produces TransitionJoined and TurnSkipped.
"""

from dataclasses import dataclass, replace
from typing import Literal

from schemas.context import context_of
from schemas.errors import MalformedEventError
from schemas.events import ActionTaken, Event, Message, NextStateObserved, SkipReason, TransitionJoined, TurnSkipped
from schemas.identity import derived_id
from schemas.messages import UNMATCHED_ROLES, says_something
from schemas.origin import lacks_tokens
from schemas.prompt import Resolved

STAGE = "join"
VERSION = "1"  # of this stage's output for the same input; part of every id that it derives


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinState:
    """What has been observed after one action."""

    first_id: str | None = None  # the real next state that counts
    ended_id: str | None = None  # the `ended` that came before it, if one did
    held: tuple[NextStateObserved, ...] = ()  # of these, what is not joined yet: the action's base is not there
    joined: Literal["no", "ended", "messages"] = "no"  # the newest transition
    ended: Event | None = None  # the transition to the end, without its words, while it is the newest


def skip(action_id: str, reason: SkipReason, *inputs: Event, detail: str = "", stage: str = STAGE) -> TurnSkipped:
    """A skip of an action, derived by `stage` from `inputs`; the first of them says whom it is about."""
    return TurnSkipped(
        id=derived_id(stage, VERSION, ("skip", reason, action_id, *(event.id for event in inputs))),
        action_id=action_id,
        reason=reason,
        detail=detail,
        stage=stage,
        **context_of(*inputs),
    )


def refuse(action: ActionTaken, *, ambiguous_trains: bool) -> TurnSkipped | None:
    """The skip of an action that cannot train, whatever follows it; None where it may."""
    if action.finish_reason == "aborted":
        return skip(action.id, "aborted", action, detail="the client left before the answer was complete")
    if action.finish_reason == "error":
        return skip(action.id, "engine_error", action)
    if action.turn_type == "side":
        return skip(action.id, "side_turn", action)
    if action.ambiguous and not ambiguous_trains:
        return skip(action.id, "ambiguous", action, detail="its request fits several conversations equally well")
    if not (says_something(action.reply) if lacks_tokens(action) else action.response_ids):
        return skip(action.id, "empty_response", action)
    return None


def refuse_silence(next_state: NextStateObserved) -> None:
    """Raises:  MalformedEventError: a next state that says nothing."""
    if next_state.kind != "ended" and not next_state.messages and next_state.exit_code is None:
        message = f"NextStateObserved {next_state.id} has neither messages nor exit_code; send kind 'ended' instead."
        raise MalformedEventError(message)


def observe(
    state: JoinState, next_state: NextStateObserved, *, ambiguous_trains: bool
) -> tuple[JoinState, TurnSkipped | None]:
    """What is known after one more next state, and the skip that it causes."""
    if next_state.kind == "ended":
        is_news = state.first_id is None and state.ended_id is None
        return (_hold(replace(state, ended_id=next_state.id), next_state) if is_news else state), None
    if state.first_id == next_state.id:
        return state, None
    if state.first_id is not None:
        detail = f"next state {next_state.id} came after {state.first_id}"
        return state, skip(next_state.action_id, "branch", next_state, detail=detail)
    first = replace(state, first_id=next_state.id)
    if next_state.ambiguous and not ambiguous_trains:
        detail = f"next state {next_state.id} fits several actions equally well"
        return first, skip(next_state.action_id, "ambiguous", next_state, detail=detail)
    return _hold(first, next_state), None


def _hold(state: JoinState, next_state: NextStateObserved) -> JoinState:
    return replace(state, held=(*state.held, next_state))


def join(action: ActionTaken, prompt: Resolved, state: JoinState) -> tuple[JoinState, list[TransitionJoined]]:
    """The transitions to what is held, in order, and what is known after them."""
    transitions = [_transition(action, prompt, next_state) for next_state in state.held]
    if not transitions:
        return state, transitions
    newest = transitions[-1]
    ended = Event(id=newest.id, **context_of(newest)) if newest.kind == "ended" else None
    return replace(state, held=(), joined=newest.kind, ended=ended), transitions


def _transition(action: ActionTaken, prompt: Resolved, next_state: NextStateObserved) -> TransitionJoined:
    return TransitionJoined(
        id=derived_id(STAGE, VERSION, (action.id, next_state.id)),
        action_id=action.id,
        next_state_id=next_state.id,
        turn=action.turn,
        context=news(prompt.messages),
        reply=action.reply,
        kind=next_state.kind,
        next_messages=next_state.messages,
        exit_code=next_state.exit_code,
        **context_of(action, next_state),
    )


def news(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages that an action was the first to read: those after the last assistant message, no system ones."""
    start = max((index for index, message in enumerate(messages, 1) if message.role == "assistant"), default=0)
    return tuple(message for message in messages[start:] if message.role not in UNMATCHED_ROLES)
