"""`Recall`: what other processes have recorded of a conversation, read back from Kafka when a recorder needs it.

A web application answers one conversation from several processes, and from others after a restart. What each of them
tells is matched by an index of its own; where that lacks the answer that something follows, the actions of its
conversation are read back. Owns the records that are read and not decoded, bounded in bytes, newest kept: to look
through a partition costs microseconds a record, and only what is asked for is decoded. Consumes the topic `actions`,
fills the index. Unblocked by: a call.

* Every record is fetched once, the newest `max_records` of each partition at first, later ones as they are needed.
* What a call asks for may have been told elsewhere a moment ago, hence `SETTLE_MS`.
* While Kafka does not answer, calls find what they can and return at once; so they do from the stop on, when a program
  ends. A reading that goes on all the same keeps nobody: it has a thread that no interpreter joins.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from schemas.clock import now_ms
from schemas.errors import BrokerUnavailableError, NextstateError, RejectedError
from schemas.events import ActionTaken
from schemas.messages import UNMATCHED_ROLES, digest_message
from streams.aside import Aside
from streams.codec import RawHeaders, decode
from streams.conversation import ConversationIndex, session_conversation
from streams.observed import ObservedTurn
from streams.placement import partition_of
from streams.recorded import headers_of
from streams.topics import ACTIONS

SETTLE_MS = 300  # from being told to being in Kafka, where it is near; more than a batch of a worker takes
_PAUSE_S = 30.0  # after Kafka did not answer
_WATCH_S = 0.05  # how long a stop may go unseen
_CLOSE_S = 0.5  # for Kafka's client to say goodbye
_ENTRY_BYTES = 1_024  # of a record: its headers and its places in two tables, roughly


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What an index lacks: an action, a conversation, or an action of a conversation. "": unknown."""

    conversation_id: str = ""
    action_id: str = ""


def missing_for(turn: ObservedTurn, index: ConversationIndex, *, may_be_known: bool) -> Missing | None:
    """What must be read back before a turn is matched; None: nothing, or nobody knows where it would be.

    An action of its session that said the same as the last reply and read as many messages is surely the one that it
    follows; another one may only be like it. Args: may_be_known: somebody may have told the very same turn.
    """
    session = "" if turn.session_id is None else session_conversation(turn.tenant, turn.session_id)
    if may_be_known and index.get(turn.action_id) is None:
        return Missing(conversation_id=session, action_id=turn.action_id)
    visible = [message for message in turn.messages if message.role not in UNMATCHED_ROLES]
    read = next((place for place in reversed(range(len(visible))) if visible[place].role == "assistant"), None)
    if not session or read is None:
        return None
    said = index.known_by("reply", turn.tenant, digest_message(visible[read]))
    is_sure = any(one.about.conversation_id == session and one.read.total() == read for one in said)
    return None if is_sure else Missing(conversation_id=session)


class Tail(Protocol):
    """`streams.tail.LogTail`."""

    def new_records(self, partitions: list[int]) -> Iterator[Any]:
        """The messages, as librdkafka gives them, that nobody has read yet."""

    def close(self) -> None:
        """Let go of the client."""


@dataclass(frozen=True, slots=True)
class _Record:
    key: str
    headers: RawHeaders
    value: bytes

    @property
    def num_bytes(self) -> int:
        return _ENTRY_BYTES + len(self.value)


class Recall:
    """Fills an index. For one asyncio loop. Args: stop: Kafka is read until then; trouble: told why it is not."""

    def __init__(
        self, tail: Tail, *, max_bytes: int, stop: threading.Event, trouble: Callable[[NextstateError], None]
    ) -> None:
        self._tail = tail
        self._max_bytes = max_bytes
        self._stop = stop
        self._trouble = trouble
        self._records: dict[str, _Record] = {}  # by the action's id, oldest first
        self._ids: dict[str, dict[str, None]] = {}  # by conversation, oldest first
        self._num_bytes = 0
        self._read_ms: dict[int, int] = {}  # how new what is read is, by partition
        self._not_before_s = 0.0
        self._aside = Aside("nextstate-recall")
        self._reading: asyncio.Future[None] | None = None  # has the records while it goes on

    async def close(self) -> None:
        """Let go of the tail, after what it reads; nobody waits for long."""
        await asyncio.wait({self._aside.do(self._tail.close)}, timeout=_CLOSE_S)
        self._aside.end()

    def must_read(self, missing: Missing, told_ms: int) -> bool:
        """Whether Kafka is read for this, which may take seconds."""
        if self._stop.is_set() or time.monotonic() < self._not_before_s:
            return False
        read_ms = [self._read_ms.get(number, 0) for number in _partitions_of(missing)]
        return min(read_ms) < told_ms or max(read_ms) > now_ms()  # after a clock was set back, who knows

    async def bring(self, missing: Missing, told_ms: int, index: ConversationIndex) -> None:
        """Add to an index what it lacks, as far as Kafka has it. Args: told_ms: what was recorded by then is found."""
        if self.must_read(missing, told_ms):
            await self._read(_partitions_of(missing), told_ms)
        if self._reading is None or self._reading.done():
            found = self._records.get(missing.action_id)
            self._add(found.key if found else missing.conversation_id, index)

    async def _read(self, partitions: list[int], told_ms: int) -> None:
        left_ms = told_ms + SETTLE_MS - now_ms()  # huge, where a clock was set back meanwhile
        await asyncio.sleep(min(max(0, left_ms), SETTLE_MS) / 1000)
        began_ms = now_ms()
        try:
            await self._until_read(partitions)
        except NextstateError as error:
            self._not_before_s = time.monotonic() + _PAUSE_S
            self._trouble(error)
        else:
            self._read_ms.update(dict.fromkeys(partitions, began_ms))

    async def _until_read(self, partitions: list[int]) -> None:
        self._reading = self._aside.do(partial(self._take_in, partitions))
        while not self._reading.done():
            if self._stop.is_set():  # the tail sees it too, unless it hangs in Kafka's client
                self._reading.add_done_callback(asyncio.Future.exception)  # nobody else will ask for it
                raise BrokerUnavailableError("Kafka had not sent all when the program ended.")
            await asyncio.wait({self._reading}, timeout=_WATCH_S)
        self._reading.result()

    def _take_in(self, partitions: list[int]) -> None:
        for message in self._tail.new_records(partitions):
            headers, key, value = headers_of(message), message.key(), message.value()
            action_id = dict(headers or ()).get("ce_id")
            if action_id and key and value:
                self._keep(action_id.decode(errors="replace"), _Record(key.decode(errors="replace"), headers, value))

    def _keep(self, action_id: str, record: _Record) -> None:
        if action_id in self._records:  # the first record of an id wins
            return
        self._records[action_id] = record
        self._ids.setdefault(record.key, {})[action_id] = None
        self._num_bytes += record.num_bytes
        while self._num_bytes > self._max_bytes:
            oldest = next(iter(self._records))
            dropped = self._records.pop(oldest)
            self._num_bytes -= dropped.num_bytes
            self._ids[dropped.key].pop(oldest)
            if not self._ids[dropped.key]:
                del self._ids[dropped.key]

    def _add(self, conversation_id: str, index: ConversationIndex) -> None:
        """Open the actions of a conversation, bases before what builds on them."""
        ids = self._ids.get(conversation_id, ())
        actions = [_action(self._records[one]) for one in ids if index.get(one) is None]
        for action in sorted(filter(None, actions), key=lambda one: one.time_ms):  # of one time: as in the log
            index.add(action)


def _partitions_of(missing: Missing) -> list[int]:
    of = missing.conversation_id
    return [partition_of(of.encode(), ACTIONS.partitions)] if of else [*range(ACTIONS.partitions)]


def _action(record: _Record) -> ActionTaken | None:
    """The action of a record; None: it is none that can be used, as the processors will say."""
    try:
        action = decode(record.headers, record.value)
    except RejectedError:
        return None
    return action if isinstance(action, ActionTaken) and action.conversation_id == record.key else None
