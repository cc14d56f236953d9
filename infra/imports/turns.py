"""`events_of`: an old conversation as the events that a gateway would have recorded, had it been there.

Every reply that answers something is an ActionTaken; what was said until the next reply is its NextStateObserved, or it
`ended`. Pure: consumes a conversation and the policy's tokens, produces events. They are the same for the same words,
whichever file they come from:

* Ids are digests of the tenant, the policy, the tools and all messages up to there. So the same conversation twice adds
  nothing, and a longer export of it adds its new turns. Conversations that begin with the same reply are branches of
  one; of a turn that they share, the first next state trains.
* A message has the time that the file gives it, but is at least a millisecond after the one before it; where it has
  none, just that. The first one then has that of the first that has any, else that of the file.
* Tokens are the policy's own for these words. Who drew them, and how likely they were, nobody knows: log-probs are
  `unscored`, and no version acted. `sampling` is plain: the temperature 1 at which a version will score them.
* Two replies in a row: nothing was said to the first, so it `ended`; the second answers nothing and is only read. A
  reply without a word or a call is none.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol, TypedDict

from schemas.errors import RejectedError, TokenMismatchError
from schemas.events import ActionTaken, Event, FinishReason, Message, NextStateObserved, Sampling, Source
from schemas.identity import derived_id
from schemas.messages import UNMATCHED_ROLES, answered_by, digest_message, says_something
from schemas.origin import UNSCORED
from schemas.prompt import Resolved, delta
from streams.conversation import FULL_PROMPT_EVERY_TURNS
from streams.formats.old_chats import OldConversation, Said

STAGE = "import"
VERSION = "1"
TEMPLATE_ARGUMENTS = "{}"


class Tokens(Protocol):
    """What `serving.rendering.ChatRenderer` does for an import."""

    template_digest: str

    def turn_ids(
        self, messages: Sequence[Message], reply: Message, tools: str, template_arguments: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids of a prompt and of the reply to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whose turns they become. `subject`, `source`: of all; None: as the conversation says."""

    policy: str
    tenant: str = "default"
    subject: str | None = None
    source: Source | None = None
    context_length: int  # tokens of a prompt and its reply; a longer turn cannot train


def import_id(*parts: str) -> str:
    """An id that is a function of what is imported."""
    return derived_id(STAGE, VERSION, parts)


def events_of(
    old: OldConversation, target: Target, tokens: Tokens, *, file_time_ms: int, known: Container[str]
) -> Iterator[Event]:
    """The events of a conversation that are not known yet, in order.

    Args:    file_time_ms: when the file was written; known: ids of events that are in the log.
    Raises:  RejectedError: from here on the conversation cannot be read by the policy; what came before it can.
    """
    said = tuple(one for one in old.said if one.message.role != "assistant" or says_something(one.message))
    return _Telling(replace(old, said=said), target, tokens, file_time_ms, known).events()


class _Whose(TypedDict):
    policy: str
    conversation_id: str
    tenant: str
    subject: str


@dataclass(slots=True)
class _Telling:
    """One conversation, told from its beginning."""

    old: OldConversation
    target: Target
    tokens: Tokens
    file_time_ms: int
    known: Container[str]
    conversation_id: str = ""  # of its first action
    base: Resolved | None = None  # the action before, where another may build on it
    chain_length: int = 0  # actions since one was stored whole
    times_ms: list[int] = field(default_factory=list)

    def events(self) -> Iterator[Event]:
        said, parent_id = self.old.said, None
        self.times_ms = _times(said, self.file_time_ms)
        digests = _digests(self.old, self.target)
        replies = [place for place, one in enumerate(said) if one.message.role == "assistant"]
        for number, (place, after) in enumerate(pairwise([*replies, len(said)])):
            if _answers(said, place):
                action_id = import_id("action", digests[place])
                self.conversation_id = self.conversation_id or import_id("conversation", digests[place])
                yield from self._turn(action_id, place, after, number, parent_id)
                parent_id = action_id
            else:
                parent_id = None

    def _turn(self, action_id: str, place: int, after: int, turn: int, parent_id: str | None) -> Iterator[Event]:
        if action_id in self.known:
            self.base = None  # it may be forgotten by those who would resolve it
        else:
            yield self._action(action_id, place, turn, parent_id)
        state = self._next_state(action_id, place, after)
        if state.id not in self.known:
            yield state

    def _action(self, action_id: str, place: int, turn: int, parent_id: str | None) -> ActionTaken:
        one = self.old.said[place]
        whole = self._read(action_id, place)
        stored = delta(
            whole.messages, whole.prompt_ids, self.base if self.chain_length < FULL_PROMPT_EVERY_TURNS else None
        )
        self.base, self.chain_length = whole, self.chain_length + 1 if stored.base_action_id else 0
        return ActionTaken(
            id=action_id,
            time_ms=self.times_ms[place],
            **self._whose(),
            source=self.target.source or answered_by(one.message),
            turn=turn,
            request_id="",
            parent_action_id=parent_id,
            **stored.as_fields(),
            tools=self.old.tools,
            template_arguments=TEMPLATE_ARGUMENTS,
            template_digest=self.tokens.template_digest,
            reply=one.message,
            model=one.model,
            sampling=Sampling(),
            response_ids=whole.response_ids,
            response_logprobs=(),
            logprob_origin=UNSCORED,
            token_versions=(),
            finish_reason=one.finish_reason or _finish_reason(one.message),
        )

    def _read(self, action_id: str, place: int) -> Resolved:
        """The whole turn in the policy's tokens."""
        messages, reply = tuple(one.message for one in self.old.said[:place]), self.old.said[place].message
        try:
            prompt_ids, reply_ids = self.tokens.turn_ids(messages, reply, self.old.tools, TEMPLATE_ARGUMENTS)
            _refuse_long(len(prompt_ids) + len(reply_ids), self.target)
        except RejectedError as error:
            raise RejectedError(f"From message {place + 1} on it cannot be imported. {error}") from error
        return Resolved(
            action_id=action_id, messages=messages, prompt_ids=prompt_ids, reply=reply, response_ids=reply_ids
        )

    def _next_state(self, action_id: str, place: int, after: int) -> NextStateObserved:
        heard = [one for one in self.old.said[place + 1 : after] if one.message.role not in UNMATCHED_ROLES]
        messages = tuple(one.message for one in heard)
        codes = [one.exit_code for one in heard if one.exit_code is not None]
        is_tool = any(message.role == "tool" for message in messages)
        return NextStateObserved(
            id=import_id("next-state", action_id, *map(digest_message, messages)),
            time_ms=self.times_ms[after - 1],
            **self._whose(),
            source=self.target.source or ("tool" if is_tool else "chat"),
            action_id=action_id,
            kind="messages" if messages else "ended",
            messages=messages,
            exit_code=next((code for code in codes if code != 0), codes[0] if codes else None),
            ended_reason=None if messages else "done",
        )

    def _whose(self) -> _Whose:
        return _Whose(
            policy=self.target.policy,
            conversation_id=self.conversation_id,
            tenant=self.target.tenant,
            subject=self.old.subject if self.target.subject is None else self.target.subject,
        )


def _digests(old: OldConversation, target: Target) -> list[str]:
    """Of each message with all before it."""
    so_far = import_id("opening", target.tenant, target.policy, old.tools)
    digests = []
    for one in old.said:
        so_far = import_id("message", so_far, digest_message(one.message))
        digests.append(so_far)
    return digests


def _times(said: Sequence[Said], file_time_ms: int) -> list[int]:
    times_ms: list[int] = []
    last_ms = next((one.time_ms for one in said if one.time_ms is not None), file_time_ms) - 1
    for one in said:
        last_ms = max(last_ms + 1, one.time_ms or 0)
        times_ms.append(last_ms)
    return times_ms


def _answers(said: Sequence[Said], place: int) -> bool:
    """Whether somebody else spoke right before the reply at a place."""
    roles = (one.message.role for one in reversed(said[:place]))
    return next((role for role in roles if role not in UNMATCHED_ROLES), "assistant") != "assistant"


def _finish_reason(reply: Message) -> FinishReason:
    return "tool_calls" if reply.tool_calls else "stop"


def _refuse_long(num_tokens: int, target: Target) -> None:
    if num_tokens > target.context_length:
        message = (
            f"Prompt and reply have {num_tokens} tokens, but the policy's context holds {target.context_length} "
            "(engine.context_length)."
        )
        raise TokenMismatchError(message)
