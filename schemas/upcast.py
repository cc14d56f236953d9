"""`upcast`: every event version ever written stays readable, as today's class.

Owns the retired classes and one pure function per retired class to its successor; the codec (streams/codec.py) checks a
value against the class of its own version first, so a function here meets only valid events. A retired class never
changes: its JSON Schema stays published, and producers may go on writing it. We write the newest version only.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from schemas.events import (
    TYPES,
    ActionTaken,
    Event,
    FeedbackGiven,
    FinishReason,
    Message,
    Sampling,
    Thumb,
    TurnType,
    VersionSpan,
)

_THUMBS: dict[float | None, Thumb] = {-1.0: -1, 1.0: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackGivenV1(Event):
    """An explicit thumb (+1/-1), rating or comment on an action.

    Retired because one number was both thumb and rating, and the rating's scale was unknown: 4 of 5 or 4 of 10?
    """

    type: ClassVar[str] = "nextstate.feedback.given.v1"

    action_id: str
    rating: float | None = None
    comment: str = ""


def _feedback_given_v2(old: FeedbackGivenV1) -> FeedbackGiven:
    """+1 and -1 are the thumbs that v1 said they are; another number is a rating on a scale that nobody wrote down."""
    thumb = _THUMBS.get(old.rating)
    return FeedbackGiven(
        **_shared(old),
        action_id=old.action_id,
        thumb=thumb,
        rating=old.rating if thumb is None else None,
        comment=old.comment,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionTakenV1(Event):
    """The policy answered: what it read, what it wrote, and how, as the engine reported it.

    Retired because it keeps nothing of its base but the beginning: a system prompt that changed in each call stands
    there, so that whole conversations were written again with each turn.
    """

    type: ClassVar[str] = "nextstate.action.taken.v1"

    turn: int
    turn_type: TurnType = "main"
    request_id: str
    sibling: int = 0
    parent_action_id: str | None = None
    ambiguous: bool = False
    base_action_id: str | None = None
    kept_messages: int = 0
    messages: tuple[Message, ...]
    kept_prompt_tokens: int = 0
    prompt_ids: tuple[int, ...]
    tools: str = "[]"
    template_arguments: str = "{}"
    template_digest: str
    reply: Message
    model: str
    adapter: str | None = None
    sampling: Sampling
    response_ids: tuple[int, ...]
    response_logprobs: tuple[float, ...]
    logprob_origin: str = "engine"
    token_versions: tuple[VersionSpan, ...]
    finish_reason: FinishReason


def _action_taken_v2(old: ActionTakenV1) -> ActionTaken:
    """All that v1 said, and no tail."""
    return ActionTaken(**{field.name: getattr(old, field.name) for field in fields(ActionTakenV1)})


UPCASTERS: dict[type[Event], Callable[[Any], Event]] = {
    ActionTakenV1: _action_taken_v2,
    FeedbackGivenV1: _feedback_given_v2,
}
RETIRED: dict[str, type[Event]] = {old.type: old for old in UPCASTERS}
READABLE: dict[str, type[Event]] = {**TYPES, **RETIRED}


def upcast(event: Event) -> Event:
    """The event in its newest version; itself where it already is."""
    while (step := UPCASTERS.get(type(event))) is not None:
        event = step(event)
    return event


def _shared(event: Event) -> dict[str, Any]:
    """What every event carries: identity, time, and whose it is."""
    return {field.name: getattr(event, field.name) for field in fields(Event)}
