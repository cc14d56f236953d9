"""Open actions: what was served and may still be answered or rated, found by id, or by tenant and what it is known by.

Owns the store behind the conversation index, bounded in bytes and age. Prompts are kept as they are recorded, as deltas
against an earlier action, so a long conversation costs its new tokens only; a base lives on while an action needs it.
"""

import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from schemas.context import context_of
from schemas.errors import MalformedEventError
from schemas.events import ActionTaken, Event, FeedbackGiven, FinishReason, KeptTail, Message, TurnType
from schemas.feedback import digest_said
from schemas.messages import UNMATCHED_ROLES, digest_message
from schemas.prompt import Resolved, put_together

ENTRY_OVERHEAD_BYTES = 3072  # objects, digests and the two look-up tables of one action, measured roughly
BYTES_PER_MESSAGE = 128  # a `Message`, without its texts
BYTES_PER_DIGEST = 160  # the text of a digest and its place in a counter, which grows by doubling
BYTES_PER_TOKEN = 4

Name = Literal["reply", "request", "conversation"]  # what an action is known by, beside its id
_Key = tuple[Name, str, str]  # with the tenant, and the digest of the reply or the id


@dataclass(slots=True, kw_only=True)
class OpenAction:
    """One served action. Only two fields change: `answered`, it has a next state other than `ended`, and `feedback`."""

    about: Event  # its id and time, whose it is: all that every event has
    heard_ms: int  # its age counts from here: when this process heard of it, whatever a producer's clock says
    request_id: str
    sibling: int
    turn: int
    turn_type: TurnType
    root_time_ms: int  # of the action, at the end of its bases, that is stored whole
    reply: Message
    finish_reason: FinishReason
    reply_digest: str
    read: Counter[str]  # digests of the messages it read, system messages left out
    base: "OpenAction | None"
    chain_length: int  # number of actions to walk until a prompt stored whole
    kept_messages: int
    messages: tuple[Message, ...]
    messages_tail: KeptTail | None
    kept_prompt_tokens: int
    prompt_ids: "array[int]"  # compact: a tuple of ints takes 9 times the room
    prompt_tail: KeptTail | None
    response_ids: "array[int]"
    answered: bool = False
    feedback: dict[str, str] = field(default_factory=dict)  # event id -> digest of what it says, newest last

    def note(self, feedback: FeedbackGiven) -> None:
        """What somebody has said of it is recorded."""
        self.feedback.setdefault(feedback.id, digest_said(feedback))

    @property
    def action_id(self) -> str:
        """Its id."""
        return self.about.id

    def is_like(self, other: "OpenAction") -> bool:
        """Whether two actions with the same reply are equal choices of one turn: either is right."""
        one, another = ((each.about.conversation_id, each.about.policy, each.read) for each in (self, other))
        return one == another

    @property
    def keys(self) -> tuple[_Key, ...]:
        """What it is looked up by."""
        named: dict[Name, str] = {
            "reply": self.reply_digest,
            "request": self.request_id,
            "conversation": self.about.conversation_id,
        }
        return tuple((name, self.about.tenant, value) for name, value in named.items() if value)

    @property
    def num_bytes(self) -> int:
        """Room that it takes, roughly."""
        messages = sum(map(_message_bytes, (*self.messages, self.reply)))
        tokens = BYTES_PER_TOKEN * (len(self.prompt_ids) + len(self.response_ids))
        return ENTRY_OVERHEAD_BYTES + messages + BYTES_PER_DIGEST * len(self.read) + tokens

    def all_messages(self) -> tuple[Message, ...]:
        """Every message that it read."""
        whole: tuple[Message, ...] = ()
        known: tuple[Message, ...] = ()
        for action in self._from_whole():
            whole = put_together(known, action.kept_messages, action.messages, action.messages_tail)
            known = (*whole, action.reply)
        return whole

    def resolved(self) -> Resolved:
        """Its whole prompt and reply."""
        return Resolved(
            action_id=self.action_id,
            messages=self.all_messages(),
            prompt_ids=tuple(self.all_prompt_ids()),
            reply=self.reply,
            response_ids=tuple(self.response_ids),
        )

    def all_prompt_ids(self) -> "array[int]":
        """Every token that it read."""
        whole = known = array("i")
        for action in self._from_whole():
            whole = put_together(known, action.kept_prompt_tokens, action.prompt_ids, action.prompt_tail)
            known = whole + action.response_ids
        return whole

    def _from_whole(self) -> "list[OpenAction]":
        """The actions that it builds on, from the one that is stored whole on, and itself.

        A producer elsewhere may build on as many as it likes: more than functions can call each other.
        """
        chain = [self]
        while (base := chain[-1].base) is not None:
            chain.append(base)
        return chain[::-1]


def open_action(action: ActionTaken, base: OpenAction | None, heard_ms: int) -> OpenAction:
    """The open form of a recorded action whose `base_action_id` is `base`.

    Raises:  MalformedEventError: it holds what cannot be kept here, whatever its schema allows.
    """
    try:
        return _opened(action, base, heard_ms)
    except (OverflowError, RecursionError, ValueError) as error:
        message = f"{action.type} {action.id} cannot be kept open: {error}."
        raise MalformedEventError(message) from error


def _opened(action: ActionTaken, base: OpenAction | None, heard_ms: int) -> OpenAction:
    known = (*base.all_messages(), base.reply) if base else ()
    whole = put_together(known, action.kept_messages, action.messages, action.messages_tail)
    return OpenAction(
        about=Event(id=action.id, **context_of(action)),
        heard_ms=heard_ms,
        request_id=action.request_id,
        sibling=action.sibling,
        turn=action.turn,
        turn_type=action.turn_type,
        root_time_ms=min(action.time_ms, heard_ms) if base is None else base.root_time_ms,
        reply=action.reply,
        finish_reason=action.finish_reason,
        reply_digest=digest_message(action.reply),
        read=Counter(digest_message(message) for message in whole if message.role not in UNMATCHED_ROLES),
        base=base,
        chain_length=0 if base is None else base.chain_length + 1,
        kept_messages=action.kept_messages,
        messages=action.messages,
        messages_tail=action.messages_tail,
        kept_prompt_tokens=action.kept_prompt_tokens,
        prompt_ids=array("i", action.prompt_ids),
        prompt_tail=action.prompt_tail,
        response_ids=array("i", action.response_ids),
    )


def _message_bytes(message: Message) -> int:
    texts = (message.content, *(part for call in message.tool_calls for part in (call.name, call.arguments)))
    return BYTES_PER_MESSAGE + sum(map(sys.getsizeof, texts))  # a text takes up to 4 bytes per character


class OpenActions:
    """The bounded store; the oldest entry, which is the one that was heard of first, is dropped first."""

    def __init__(self, *, max_bytes: int, max_age_ms: int) -> None:
        self._max_bytes = max_bytes
        self._max_age_ms = max_age_ms
        self._num_bytes = 0
        self._by_id: dict[str, OpenAction] = {}  # oldest first
        self._by_key: dict[_Key, dict[str, OpenAction]] = {}  # oldest first, too

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def num_bytes(self) -> int:
        """Room that they take, roughly."""
        return self._num_bytes

    def __iter__(self) -> Iterator[OpenAction]:
        """Oldest first."""
        return iter(self._by_id.values())

    def get(self, action_id: str) -> OpenAction | None:
        """The action with this id, if it is open."""
        return self._by_id.get(action_id)

    def known_by(self, name: Name, tenant: str, value: str) -> list[OpenAction]:
        """The tenant's actions of this reply (by its digest), request or conversation, oldest first."""
        return list(self._by_key.get((name, tenant, value), {}).values())

    def add(self, action: OpenAction) -> None:
        """Keep an action; one that is already here stays as it is."""
        if action.action_id in self._by_id:
            return
        self._by_id[action.action_id] = action
        for key in action.keys:
            self._by_key.setdefault(key, {})[action.action_id] = action
        self._num_bytes += action.num_bytes
        while self._num_bytes > self._max_bytes and len(self._by_id) > 1:
            self._drop_oldest()

    def drop(self, action_id: str) -> None:
        """Forget an action, if it is open; one that builds on it keeps it for itself."""
        action = self._by_id.pop(action_id, None)
        if action is None:
            return
        self._num_bytes -= action.num_bytes
        for key in action.keys:
            self._by_key[key].pop(action_id)
            if not self._by_key[key]:
                del self._by_key[key]

    def drop_older_than(self, now_ms: int) -> None:
        """Forget what was heard of longer ago than the age limit."""
        while self._by_id and next(iter(self._by_id.values())).heard_ms < now_ms - self._max_age_ms:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self.drop(next(iter(self._by_id)))
