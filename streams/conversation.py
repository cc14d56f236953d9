"""Conversation index: finds the earlier action that a request answers, and what it answers with.

Agents resend their history with every request and change it as they like, so the request's last assistant message is
looked up by its digest among the actions that were served, and the overlap of what each had read decides between
several. Owns the open actions of all tenants, in memory, bounded in bytes and age; the log can rebuild it (`restore`).
Consumes normalised messages, produces a `Match`; nothing here waits, records or reads a clock of its own. Everybody who
hears of conversations uses it: the gateway of its own requests, streams/observed.py of what other models served.

Decisions that the data cannot make:
* A request without an assistant message opens a new conversation, each time: a retried opening and two people who open
  with the same words look alike, and nothing is lost by keeping them apart. Which of them a later request continues is
  decided by the overlap, and marked `ambiguous` where that ties.
* Candidates with equal overlap are a guess, marked `ambiguous` unless they are alike (siblings that read and said the
  same): the one that read least beyond the history, then one still without an answer (so that two equal conversations
  do not both end up on one action), then the oldest.
* A side turn (a title, a summary) is the client's own business: it follows a main turn, but is not its next state.
* A session id is its conversation: the conversation's id is the digest of tenant and session, hence known after a
  restart, and requests of a session only ever match inside it.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, Self

from schemas.errors import RejectedError
from schemas.events import ActionTaken, FeedbackGiven, Message, NextStateObserved, TurnType
from schemas.identity import digest_text, new_id
from schemas.messages import UNMATCHED_ROLES, digest_message
from streams.match import Match
from streams.open_actions import Name, OpenAction, OpenActions, open_action
from streams.overlap import best_of, last_assistant, unread

_LOGGER = logging.getLogger(__name__)
FULL_PROMPT_EVERY_TURNS = 16  # a prompt stored whole now and then bounds the chain that a reader must resolve
# The largest age of a chain bounds how long a reader must remember: processors forget after processors.max_open_age_s.


class Bounds(Protocol):
    """How much an index keeps, as settings say it (`serving.config.GatewayConfig`)."""

    @property
    def max_open_bytes(self) -> int:
        """Memory for actions that may still be answered."""

    @property
    def max_open_age_s(self) -> float:
        """An older action is no longer matched."""

    @property
    def max_chain_age_s(self) -> float:
        """A prompt is stored whole where the whole one that it would build on is older."""


class ConversationIndex:
    """Open actions by what they replied, per tenant.

    Args:    max_bytes, max_age_ms: bounds of what is kept, oldest dropped first; the age counts from when it was heard
             of, or, restored, from its own time, where that is not yet to come; max_chain_age_ms: a prompt is stored
             whole where the whole one that it would build on is older; now_ms: the clock; next_id: makes the ids of
             new conversations; None: by the clock and at random.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_age_ms: int,
        max_chain_age_ms: int,
        now_ms: Callable[[], int],
        next_id: Callable[[], str] | None = None,
    ) -> None:
        self._empty = partial(OpenActions, max_bytes=max_bytes, max_age_ms=max_age_ms)
        self._open = self._empty()
        self._max_chain_age_ms = max_chain_age_ms
        self._found_late: set[str] = set()  # action ids: what a request says is told once
        self._now_ms = now_ms
        self._next_id = next_id or (lambda: new_id(now_ms()))

    @classmethod
    def of(cls, bounds: Bounds, now_ms: Callable[[], int]) -> Self:
        """An empty one with these bounds."""
        return cls(
            max_bytes=bounds.max_open_bytes,
            max_age_ms=int(bounds.max_open_age_s * 1000),
            max_chain_age_ms=int(bounds.max_chain_age_s * 1000),
            now_ms=now_ms,
        )

    def __len__(self) -> int:
        return len(self._open)

    @property
    def num_bytes(self) -> int:
        """Room that the open actions take, roughly."""
        return self._open.num_bytes

    def served(self, tenant: str, action_id: str) -> OpenAction | None:
        """The open action of this tenant with this id; None: there is none."""
        action = self._open.get(action_id)
        return None if action is None or action.about.tenant != tenant else action

    def match(
        self,
        *,
        tenant: str,
        session_id: str | None,
        messages: tuple[Message, ...],
        turn_type: TurnType = "main",
        parent_action_id: str | None = None,
    ) -> Match:
        """Where a request with these (normalised) messages belongs. Marks the parent as answered.

        Args:    parent_action_id: the action that the request says it answers; one that does not fit says nothing.
        """
        self._open.drop_older_than(self._now_ms())
        session = None if session_id is None else session_conversation(tenant, session_id)
        visible = _visible(messages)
        last = last_assistant(visible)
        candidates = [] if last is None else self._candidates(tenant, session, visible[last])
        candidates = [action for action in candidates if action.action_id == parent_action_id] or candidates
        if last is None or not candidates:
            return Match(
                conversation_id=session or self._next_id(),
                turn=sum(message.role == "assistant" for message in visible),
                unknown_reply=last is not None,
            )
        return self._following(candidates, visible, last, turn_type)

    def match_late(self, action: ActionTaken, session: str | None, asked_ms: int) -> Match | None:
        """Where a recorded action belongs that found nothing when it was served; None: still nowhere, or asked before.

        Marks the parent as answered, which was served before the action was asked for.

        Args:    session: the action's conversation, where a session named it; asked_ms: epoch.
        """
        visible = _visible(action.messages)
        last = last_assistant(visible)
        served = [] if last is None else self._candidates(action.tenant, session, visible[last])
        candidates = [one for one in served if one.about.time_ms <= asked_ms and one.action_id != action.id]
        if not candidates or action.id in self._found_late:
            return None
        self._found_late.add(action.id)
        return self._following(candidates, visible, last or 0, action.turn_type)

    def _following(
        self, candidates: list[OpenAction], visible: tuple[Message, ...], last: int, turn_type: TurnType
    ) -> Match:
        """What follows one of these. Args: last: place of the reply among the messages."""
        history = Counter(digest_message(message) for message in visible[:last])
        parent, ambiguous = best_of(candidates, history)
        observes = turn_type == "main" or parent.turn_type == "side"
        found = Match(
            conversation_id=parent.about.conversation_id,
            turn=parent.turn + 1,
            parent_action_id=parent.action_id,
            parent_policy=parent.about.policy,
            base=parent.resolved() if self._may_grow(parent) else None,
            ambiguous=ambiguous,
            branch=parent.answered,
            new_messages=unread(visible[last + 1 :], parent.read, history) if observes else (),
        )
        parent.answered |= bool(found.new_messages)
        return found

    def add(self, action: ActionTaken) -> bool:
        """Open an action that was served, so that its next state can find it. False: its base is not known here.

        Raises:  MalformedEventError: it cannot be kept.
        """
        return self._open_since(action, self._now_ms())

    def get(self, action_id: str) -> OpenAction | None:
        """An action, if it is open."""
        return self._open.get(action_id)

    def forget(self, action_id: str) -> None:
        """Take back `add`, for an action that could not be recorded."""
        self._open.drop(action_id)

    def known_by(self, name: Name, tenant: str, value: str) -> list[OpenAction]:
        """The tenant's open actions of a reply (its digest), a request or a conversation, oldest first."""
        return self._open.known_by(name, tenant, value)

    def restore(
        self,
        actions: Iterable[ActionTaken],
        next_states: Iterable[NextStateObserved],
        feedback: Iterable[FeedbackGiven] = (),
    ) -> int:
        """Rebuild from recorded events, in any order and with duplicates; returns how many actions are open.

        Of records with one id the first counts, as everywhere: a later one may be somebody else's.
        What was opened since stays open, as the newest. An `ended` next state leaves its action open: a person may
        answer after the timeout. An action that cannot be opened is passed over, with a warning: whatever is in the
        log, the others are needed.
        """
        since, self._open = self._open, self._empty()
        unique: dict[str, ActionTaken] = {}
        for recorded in actions:
            unique.setdefault(recorded.id, recorded)
        unusable: list[RejectedError] = []
        now_ms = self._now_ms()
        for recorded in sorted(unique.values(), key=lambda action: (action.time_ms, action.id)):
            try:
                self._open_since(recorded, min(recorded.time_ms, now_ms))
            except RejectedError as error:
                unusable.append(error)
        if unusable:
            _LOGGER.warning("%d recorded actions cannot be opened; the first: %s", len(unusable), unusable[0])
        for given in sorted(feedback, key=lambda one: (one.time_ms, one.id)):
            if rated := self._open.get(given.action_id):
                rated.note(given)
        for action in since:
            if known := self._open.get(action.action_id):
                known.answered |= action.answered
                known.feedback |= action.feedback
            self._open.add(action)
        self._open.drop_older_than(now_ms)
        for state in next_states:
            parent = self._open.get(state.action_id)
            if parent is not None and state.kind == "messages":
                parent.answered = True
        return len(self._open)

    def _open_since(self, action: ActionTaken, heard_ms: int) -> bool:
        base = None if action.base_action_id is None else self.served(action.tenant, action.base_action_id)
        if base is None and action.base_action_id is not None:
            return False
        self._open.add(open_action(action, base, heard_ms))
        return True

    def _may_grow(self, parent: OpenAction) -> bool:
        """Whether another prompt may be stored against this action's."""
        is_young = self._now_ms() - parent.root_time_ms <= self._max_chain_age_ms
        return is_young and parent.chain_length < FULL_PROMPT_EVERY_TURNS

    def _candidates(self, tenant: str, session: str | None, reply: Message) -> list[OpenAction]:
        served = self._open.known_by("reply", tenant, digest_message(reply))
        return [action for action in served if session is None or action.about.conversation_id == session]


def _visible(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(message for message in messages if message.role not in UNMATCHED_ROLES)


def session_conversation(tenant: str, session_id: str) -> str:
    """The id of the conversation that a client names by a session id."""
    return digest_text("session", tenant, session_id)
