"""`Turn`, `NextState`, `Feedback`: what a program tells its recorder, and what that is in the log.

Made in the program's own thread, so making one copies references only; all else is called by the worker (an `Item` of
record_worker.py): `missing`, then `events`. Consumes what OpenAI's client gives, produces events, matched by the
worker's index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, get_args

from schemas.context import context_at
from schemas.errors import RejectedError
from schemas.events import Event, FeedbackGiven, NextStateObserved, Thumb, TurnType
from schemas.messages import answered_by
from streams.conversation import ConversationIndex, session_conversation
from streams.observed import ObservedTurn, events_of_observed
from streams.open_actions import OpenAction
from streams.openai_forms import message_of, reply_of, tools_of
from streams.record_arguments import ends_of, refuse_other, refuse_unlisted, whole
from streams.record_recall import Missing, missing_for
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
    has_own_id: bool
    _observed: ObservedTurn | None = field(default=None, init=False)

    @property
    def bulk(self) -> Sequence[object]:
        """What it holds that may be large."""
        return (*self.messages, self.reply)

    def missing(self, index: ConversationIndex) -> Missing | None:
        """What must be read back before it is matched."""
        return missing_for(self.observed(), index, may_be_known=self.has_own_id)

    def events(self, index: ConversationIndex) -> Sequence[Event]:
        """The next state before it, and the action."""
        return events_of_observed(self.observed(), index)

    def observed(self) -> ObservedTurn:
        """It in our words. Raises: RejectedError: what the program gave is none."""
        if self._observed is None:
            refuse_other("model", self.model, str)
            refuse_other("subject", self.subject, str)
            refuse_other("session_id", self.session_id, str, NoneType)
            refuse_other("request", self.request, Mapping)
            refuse_unlisted("turn_type", self.turn_type, get_args(TurnType))
            reply, asked = reply_of(self.reply), self.request.get("model")
            self._observed = ObservedTurn(
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
        return self._observed


@dataclass(slots=True, kw_only=True)
class Answer:
    """An answer that something is said of: by its id, or without one the last of a session."""

    tenant: str
    action_id: str
    session_id: str | None

    def missing(self, index: ConversationIndex) -> Missing | None:
        """What must be read back to know it; its session's last is only known from all that is recorded of it.

        Raises:  RejectedError: it is named by something else than texts.
        """
        refuse_other("action_id", self.action_id, str)
        refuse_other("session_id", self.session_id, str, NoneType)
        session = "" if self.session_id is None else session_conversation(self.tenant, self.session_id)
        if not self.action_id:
            return Missing(conversation_id=session) if session else None
        is_known = index.served(self.tenant, self.action_id) is not None
        return None if is_known else Missing(conversation_id=session, action_id=self.action_id)

    def found(self, index: ConversationIndex) -> OpenAction:
        """It. Raises: RejectedError: it is not known."""
        action = index.served(self.tenant, self.action_id) if self.action_id else self._last(index)
        if action is None:
            named = f"The answer {self.action_id!r}" if self.action_id else f"An answer in session {self.session_id!r}"
            message = f"{named} was not recorded, or too long ago."
            raise RejectedError(message)
        return action

    def _last(self, index: ConversationIndex) -> OpenAction | None:
        if self.session_id is None:
            return None
        told = index.known_by("conversation", self.tenant, session_conversation(self.tenant, self.session_id))
        main = [action for action in reversed(told) if action.turn_type == "main"]  # a side turn is nobody's answer
        return max(main, key=lambda action: action.about.time_ms, default=None)


@dataclass(slots=True, kw_only=True)
class NextState:
    """What followed an answer; nothing: it has ended."""

    id: str
    time_ms: int
    answer: Answer
    messages: tuple[object, ...]
    exit_code: int | None

    @property
    def bulk(self) -> Sequence[object]:
        """What it holds that may be large."""
        return self.messages

    def missing(self, index: ConversationIndex) -> Missing | None:
        """What must be read back before its answer is known."""
        return self.answer.missing(index)

    def events(self, index: ConversationIndex) -> Sequence[Event]:
        """The next state."""
        refuse_other("exit_code", self.exit_code, int, NoneType)
        action, messages = self.answer.found(index), tuple(map(message_of, self.messages))
        is_tools = self.exit_code is not None or any(message.role == "tool" for message in messages)
        has_ended = not self.messages and self.exit_code is None
        return (
            NextStateObserved(
                id=self.id,
                **context_at(action.about, self.time_ms, source="tool" if is_tools else "chat"),
                action_id=action.action_id,
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
    answer: Answer
    thumb: Thumb | None
    rating: float | None
    scale: tuple[float, float] | None
    comment: str

    @property
    def bulk(self) -> Sequence[object]:
        """What it holds that may be large."""
        return (self.comment,)

    def missing(self, index: ConversationIndex) -> Missing | None:
        """What must be read back before its answer is known."""
        return self.answer.missing(index)

    def events(self, index: ConversationIndex) -> Sequence[Event]:
        """The feedback."""
        refuse_unlisted("thumb", self.thumb, (None, *get_args(Thumb)))
        comment = whole(self.comment) if isinstance(self.comment, str) else self.comment
        refuse_other("comment", comment, str)
        worst, best = ends_of(self.scale)
        for name, number in (("rating", self.rating), ("scale", worst), ("scale", best)):
            refuse_other(name, number, int, float, NoneType)
        action = self.answer.found(index)
        return (
            FeedbackGiven(
                id=self.id,
                **context_at(action.about, self.time_ms, source=answered_by(action.reply)),
                action_id=action.action_id,
                thumb=self.thumb,
                rating=_number(self.rating),
                worst_rating=_number(worst),
                best_rating=_number(best),
                comment=comment,
            ),
        )


def _number(given: float | None) -> float | None:
    """As it is read back: a whole number beyond 2**53 would be another then."""
    return None if given is None else float(given)
