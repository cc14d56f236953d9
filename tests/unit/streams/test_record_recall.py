"""A conversation that several processes answer, or one before and after a restart, is one conversation."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from schemas.clock import now_ms
from schemas.errors import BrokerUnavailableError, NextstateError, RejectedError
from schemas.events import ActionTaken, Event, FeedbackGiven, NextStateObserved
from streams import record_recall
from streams.conversation import ConversationIndex
from streams.memory import MemoryLog
from streams.record import AgentRecorder
from streams.record_recall import Recall
from streams.recorded import Recorded
from streams.topics import ACTIONS

HELLO, LOUDER, THANKS = ({"role": "user", "content": text} for text in ("hello", "louder", "thanks"))
HI, SHOUTED = ({"role": "assistant", "content": text} for text in ("hi", "HI"))


@dataclass(frozen=True)
class Message:
    """A record as librdkafka gives it."""

    record: Recorded

    def headers(self) -> Any:
        return self.record.headers

    def key(self) -> bytes | None:
        return self.record.key

    def value(self) -> bytes:
        return self.record.value


class Tail:
    """Law: each record of the log once; none while Kafka is away."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.is_up = True
        self.num_asked = 0
        self._next = dict.fromkeys(range(ACTIONS.partitions), 0)

    def new_records(self, partitions: Collection[int]) -> Iterator[Message]:
        self.num_asked += 1
        if not self.is_up:
            raise BrokerUnavailableError("Kafka is away.")
        for record in self.log.records[ACTIONS.name]:
            if record.partition in partitions and record.offset >= self._next[record.partition]:
                self._next[record.partition] = record.offset + 1
                yield Message(record)


class Process:
    """One process of a program; what it is told is written to the log that all share when `work` is called."""

    def __init__(self, log: MemoryLog, folder: Path, max_bytes: int = 10**9) -> None:
        self.recorder = AgentRecorder("127.0.0.1:1", spool_folder=folder)
        self.items: list[Any] = []
        self.recorder._worker.put = self.items.append  # type: ignore[method-assign]
        self.tail = Tail(log)
        self.troubles: list[NextstateError] = []
        self._recall = Recall(self.tail, max_bytes=max_bytes, trouble=self.troubles.append)
        self._index = ConversationIndex(
            max_bytes=10**9, max_age_ms=10**15, max_chain_age_ms=10**15, now_ms=lambda: 10**13
        )

    async def work(self) -> list[Event]:
        told: list[Event] = []
        for item in self.items:
            if missing := item.missing(self._index):
                await self._recall.bring(missing, item.time_ms, self._index)
            told += item.events(self._index)
        self.items.clear()
        for event in told:
            self.tail.log.append(event)
        return told


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here what is told is in the log at once, and all of it in one millisecond."""
    monkeypatch.setattr(record_recall, "SETTLE_MS", 0)
    told_ms = now_ms()
    monkeypatch.setattr("streams.record.now_ms", lambda: told_ms)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def one(log: MemoryLog, tmp_path: Path) -> Process:
    return Process(log, tmp_path)


@pytest.fixture
def other(log: MemoryLog, tmp_path: Path) -> Process:
    return Process(log, tmp_path)


def told(process: Process, session_id: str | None, messages: list[Any], reply: str, **own: Any) -> str:
    if session_id is None:
        return process.recorder.record(messages, reply, **own)
    with process.recorder.conversation(session_id):
        return process.recorder.record(messages, reply, **own)


async def test_what_follows_an_answer_is_told_by_whichever_process_hears_of_it(one: Process, other: Process) -> None:
    told(one, "ticket-7", [HELLO], "hi")
    (first,) = await one.work()
    told(other, "ticket-7", [HELLO, HI, LOUDER], "HI")
    state, second = await other.work()
    told(one, "ticket-7", [HELLO, HI, LOUDER, SHOUTED, THANKS], "!")
    after, third = await one.work()
    assert isinstance(state, NextStateObserved)
    assert isinstance(after, NextStateObserved)
    assert (state.action_id, after.action_id) == (first.id, second.id)
    assert {event.conversation_id for event in (first, state, second, after, third)} == {first.conversation_id}
    assert isinstance(third, ActionTaken)
    assert (third.base_action_id, third.turn) == (second.id, 2), "stored as what is new"


async def test_an_answer_that_only_looks_like_the_one_before_is_not_taken_for_it(one: Process, other: Process) -> None:
    told(one, "ticket-7", [HELLO], "hi")
    await one.work()
    told(other, "ticket-7", [HELLO, HI, LOUDER], "hi")
    *_, second = await other.work()
    told(one, "ticket-7", [HELLO, HI, LOUDER, HI, THANKS], "!")
    state, _ = await one.work()
    assert isinstance(state, NextStateObserved)
    assert state.action_id == second.id


async def test_thumbs_and_next_states_find_answers_of_other_processes(one: Process, other: Process) -> None:
    first = told(one, "ticket-7", [HELLO], "hi")
    told(one, "ticket-8", [HELLO], "hi")
    await one.work()
    other.recorder.feedback(first, thumb=1)
    other.recorder.next_state(first, THANKS)
    thumb, state = await other.work()
    assert isinstance(thumb, FeedbackGiven)
    assert isinstance(state, NextStateObserved)
    assert thumb.action_id == state.action_id == first


async def test_of_a_session_the_last_answer_is_meant_whoever_gave_it(one: Process, other: Process) -> None:
    told(one, "ticket-7", [HELLO], "hi")
    await one.work()
    last = told(other, "ticket-7", [HELLO, HI, LOUDER], "HI")
    told(other, "ticket-7", [HELLO], "A title", turn_type="side")
    await other.work()
    one.recorder.conversation("ticket-7").feedback(thumb=-1)
    (thumb,) = await one.work()
    assert isinstance(thumb, FeedbackGiven)
    assert thumb.action_id == last


async def test_an_own_id_counts_once_in_all_processes(one: Process, other: Process) -> None:
    for session_id in ("ticket-7", None):
        told(one, session_id, [HELLO], "hi", own_id=f"run-1/{session_id}")
        assert len(await one.work()) == 1
        told(other, session_id, [HELLO], "hi", own_id=f"run-1/{session_id}")
        assert await other.work() == []


async def test_a_process_that_knows_its_conversations_reads_nothing_back(one: Process) -> None:
    told(one, "ticket-7", [HELLO], "hi")
    told(one, "ticket-7", [HELLO, HI, LOUDER], "HI")
    told(one, None, [LOUDER], "HI")
    assert len(await one.work()) == 4
    assert one.tail.num_asked == 0


async def test_what_is_told_together_is_read_back_together(one: Process, other: Process) -> None:
    for number in range(5):
        told(one, f"ticket-{number}", [HELLO], "hi")
    await one.work()
    for number in range(5):
        told(other, f"ticket-{number}", [HELLO, HI, LOUDER], "HI")
    assert len(await other.work()) == 10
    assert other.tail.num_asked <= ACTIONS.partitions


async def test_tenants_never_meet(one: Process, log: MemoryLog, tmp_path: Path) -> None:
    theirs = told(one, "ticket-7", [HELLO], "hi")
    await one.work()
    acme = Process(log, tmp_path)
    acme.recorder._whose = ("assistant", "acme")
    acme.recorder.feedback(theirs, thumb=1)
    with pytest.raises(RejectedError, match="was not recorded"):
        await acme.work()


async def test_while_kafka_is_away_what_is_known_is_used_and_nobody_waits(one: Process, other: Process) -> None:
    told(one, "ticket-7", [HELLO], "hi")
    await one.work()
    other.tail.is_up = False
    for _ in range(3):
        told(other, "ticket-7", [HELLO, HI, LOUDER], "HI")
    actions = await other.work()
    assert [type(event) for event in actions] == [ActionTaken] * 3, "by themselves"
    assert (len(other.troubles), other.tail.num_asked) == (1, 1)


async def test_what_is_kept_of_others_is_bounded(one: Process, log: MemoryLog, tmp_path: Path) -> None:
    for number in range(20):
        told(one, f"ticket-{number}", [{"role": "user", "content": "x" * 1_000}], "hi")
    *_, newest = await one.work()
    small = Process(log, tmp_path, max_bytes=10_000)
    for event in (log.events(ACTIONS)[0], newest):
        small.recorder.feedback(event.id, thumb=1)
    with pytest.raises(RejectedError, match="too long ago"):
        await small.work()
    small.items.pop(0)
    (thumb,) = await small.work()
    assert isinstance(thumb, FeedbackGiven)
    assert small._recall._num_bytes <= 10_000


async def test_records_that_hold_no_action_of_their_key_are_left_alone(
    one: Process, other: Process, log: MemoryLog, caplog: pytest.LogCaptureFixture
) -> None:
    first = told(one, "ticket-7", [HELLO], "hi")
    (action,) = await one.work()
    key = action.conversation_id.encode()
    log.append_raw(ACTIONS, key, b"no JSON", [("ce_id", b"a")])
    log.append_raw(ACTIONS, key, b"{}", None)
    log.append_raw(ACTIONS, b"", b"", [("ce_id", b"b")])
    with caplog.at_level(logging.WARNING):
        other.recorder.feedback(first, thumb=1)
        assert len(await other.work()) == 1
