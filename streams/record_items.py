"""`Turn`, `NextState`, `Feedback`: what a program tells its recorder, and what that is in the log.

Made in the program's own thread, so making one copies references only; `events` is called by the worker (an `Item` of
record_worker.py). Consumes what OpenAI's client gives, produces events, matched by the worker's index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.context import context_at
from schemas.errors import RejectedError
from schemas.events import Event, FeedbackGiven, NextStateObserved, Thumb, TurnType
from schemas.messages import answered_by
from streams.conversation import ConversationIndex
from streams.observed import ObservedTurn, events_of_observed
from streams.open_actions import OpenAction
from streams.openai_forms import message_of, reply_of, tools_of
from streams.sampling import sampling_of


@dataclass(slots=True, kw_only=True)
class Turn:
    """One answer. `messages`, `reply`: as the program has them; `request`: what else it asked for."""

    action_id: str
    time_ms: int
    policy: str
    tenant: str
    subject: str
    session_id: str | None
    turn_type: TurnType
    messages: tuple[object, ...]
    reply: object
    model: str
    request: Mapping[str, Any]

    @property
    def bulk(self) -> Sequence[object]:
        """What it holds that may be large."""
        return (*self.messages, self.reply)

    def events(self, index: ConversationIndex) -> Sequence[Event]:
        """The next state before it, and the action."""
        reply, asked = reply_of(self.reply), self.request.get("model")
        turn = ObservedTurn(
            action_id=self.action_id,
            time_ms=self.time_ms,
            tenant=self.tenant,
            policy=self.policy,
            subject=self.subject,
            session_id=self.session_id,
            turn_type=self.turn_type,
            messages=tuple(map(message_of, self.messages)),
            reply=reply.message,
            tools=tools_of(self.request),
            model=self.model or reply.model or (asked if isinstance(asked, str) else ""),
            sampling=sampling_of(self.request),
            finish_reason=reply.finish_reason,
        )
        return events_of_observed(turn, index)


@dataclass(slots=True, kw_only=True)
class NextState:
    """What followed an answer; nothing: it has ended."""

    id: str
    time_ms: int
    action_id: str
    messages: tuple[object, ...]
    exit_code: int | None

    @property
    def bulk(self) -> Sequence[object]:
        """What it holds that may be large."""
        return self.messages

    def events(self, index: ConversationIndex) -> Sequence[Event]:
        """The next state."""
        action, messages = _known(index, self.action_id), tuple(map(message_of, self.messages))
        is_tools = self.exit_code is not None or any(message.role == "tool" for message in messages)
        has_ended = not self.messages and self.exit_code is None
        return (
            NextStateObserved(
                id=self.id,
                **context_at(action.about, self.time_ms, source="tool" if is_tools else "chat"),
                action_id=self.action_id,
                kind="ended" if has_ended else "messages",
                messages=messages,
                exit_code=self.exit_code,
                ended_reason="done" if has_ended else None,
            ),
        )


@dataclass(slots=True, kw_only=True)
class Feedback:
    """What somebody says of an answer. `scale`: the worst and the best rating."""

    id: str
    time_ms: int
    action_id: str
    thumb: Thumb | None
    rating: float | None
    scale: tuple[float, float] | None
    comment: str

    @property
    def bulk(self) -> Sequence[object]:
        """What it holds that may be large."""
        return (self.comment,)

    def events(self, index: ConversationIndex) -> Sequence[Event]:
        """The feedback."""
        action = _known(index, self.action_id)
        worst, best = self.scale or (None, None)
        return (
            FeedbackGiven(
                id=self.id,
                **context_at(action.about, self.time_ms, source=answered_by(action.reply)),
                action_id=self.action_id,
                thumb=self.thumb,
                rating=self.rating,
                worst_rating=worst,
                best_rating=best,
                comment=self.comment,
            ),
        )


def _known(index: ConversationIndex, action_id: str) -> OpenAction:
    action = index.get(action_id)
    if action is None:
        message = f"The answer {action_id!r} was not recorded here, or too long ago."
        raise RejectedError(message)
    return action
