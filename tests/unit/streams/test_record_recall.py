"""A conversation that several processes answer, or one before and after a restart, is one conversation."""

import asyncio
import logging
import threading
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from schemas.clock import now_ms
from schemas.errors import BrokerUnavailableError
from schemas.events import ActionTaken, Event, FeedbackGiven, NextStateObserved
from streams import record_recall
from streams.config import KafkaConfig
from streams.memory import MemoryLog
from streams.record import AgentRecorder
from streams.record_writer import Kind, Limits, RecordWriter
from streams.recorded import Recorded
from streams.topics import ACTIONS, Topic

NOBODY = "127.0.0.1:1"  # nothing listens there
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

    def close(self) -> None:
        pass


class Safe:
    """A recorder that has what it is told in the log at once."""

    healthy = True

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.told: list[Event] = []

    async def record(self, topic: Topic, event: Event) -> Literal["kafka", "spool"]:
        self.told.append(event)
        return await self._log.record(topic, event)


class Process:
    """One process of a program; what it is told is written to the log that all share when `work` is called."""

    def __init__(self, log: MemoryLog, folder: Path, max_bytes: int = 10**9) -> None:
        self.recorder = AgentRecorder(NOBODY, spool_folder=folder)
        self.items: deque[Any] = deque()
        self.recorder._worker.put = self.items.append  # type: ignore[method-assign]
        self.tail = Tail(log)
        self.stop = threading.Event()
        self.troubles: list[tuple[Kind, object]] = []
        self.counts: Counter[str] = Counter()
        self.safe = Safe(log)
        self.writer = RecordWriter(
            KafkaConfig(bootstrap_servers=NOBODY),
            folder,
            Limits(max_recalled_bytes=max_bytes),
            lambda kind, reason: self.troubles.append((kind, reason)),
            stop=self.stop,
            tail=self.tail,
        )
        self.writer._recorder = self.safe  # type: ignore[assignment]

    async def work(self) -> list[Event]:
        self.safe.told.clear()
        await self.writer.write(self.items, self.counts)
        return [*self.safe.told]

    def troubles_of(self, kind: Kind) -> list[str]:
        return [str(reason) for of, reason in self.troubles if of == kind]


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


async def test_a_clock_that_was_set_back_makes_nobody_wait(
    one: Process, other: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(one, "ticket-7", [HELLO], "hi")
    (first,) = await one.work()
    told(other, "ticket-7", [HELLO, HI, LOUDER], "HI")
    monkeypatch.setattr(record_recall, "now_ms", lambda: now_ms() - 3_600_000)
    async with asyncio.timeout(5.0):
        state, _ = await other.work()
    assert isinstance(state, NextStateObserved)
    assert state.action_id == first.id


async def test_what_was_read_before_a_clock_was_set_back_is_read_again(
    one: Process, other: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(one, "ticket-7", [HELLO], "hi")
    await one.work()
    told(other, "ticket-7", [HELLO, HI, LOUDER], "HI")
    await other.work()
    for reader in ("streams.record.now_ms", "streams.record_recall.now_ms"):
        monkeypatch.setattr(reader, lambda: now_ms() - 3_600_000)
    told(one, "ticket-7", [HELLO, HI, LOUDER, SHOUTED, THANKS], "!")
    _, third = await one.work()
    told(other, "ticket-7", [HELLO, HI, LOUDER, SHOUTED, THANKS, {"role": "assistant", "content": "!"}, LOUDER], "?")
    state, _ = await other.work()
    assert isinstance(state, NextStateObserved)
    assert state.action_id == third.id


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
    assert await acme.work() == []
    assert "was not recorded" in acme.troubles_of("failed")[0]


async def test_while_kafka_is_away_what_is_known_is_used_and_nobody_waits(one: Process, other: Process) -> None:
    told(one, "ticket-7", [HELLO], "hi")
    await one.work()
    other.tail.is_up = False
    for _ in range(3):
        told(other, "ticket-7", [HELLO, HI, LOUDER], "HI")
    actions = await other.work()
    assert [type(event) for event in actions] == [ActionTaken] * 3, "by themselves"
    assert len(other.troubles_of("unmatched")) == 3
    assert (len(other.troubles_of("unread")), other.tail.num_asked) == (1, 1)


async def test_what_is_kept_of_others_is_bounded(one: Process, log: MemoryLog, tmp_path: Path) -> None:
    for number in range(20):
        told(one, f"ticket-{number}", [{"role": "user", "content": "x" * 1_000}], "hi")
    *_, newest = await one.work()
    small = Process(log, tmp_path, max_bytes=10_000)
    for event in (log.events(ACTIONS)[0], newest):
        small.recorder.feedback(event.id, thumb=1)
    (thumb,) = await small.work()
    assert isinstance(thumb, FeedbackGiven)
    assert thumb.action_id == newest.id
    assert "too long ago" in small.troubles_of("failed")[0]
    assert small.writer._recall._num_bytes <= 10_000


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


async def test_what_is_told_before_an_item_that_kafka_is_read_for_is_safe_by_then(
    one: Process, other: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(one, None, [HELLO], "hi")
    told(one, "ticket-7", [HELLO, HI, LOUDER], "HI")
    told(one, "ticket-7", [HELLO], "hi")
    seen: list[tuple[int, int, int]] = []
    read = one.tail.new_records

    def new_records(partitions: Collection[int]) -> Iterator[Message]:
        seen.append((len(one.safe.told), one.counts["kafka"], len(one.items)))
        return read(partitions)

    monkeypatch.setattr(one.tail, "new_records", new_records)
    assert len(await one.work()) == 3
    assert seen == [(1, 1, 2)]


async def test_once_it_stops_nothing_is_looked_up_and_all_is_safe(one: Process, other: Process) -> None:
    told(one, "ticket-7", [HELLO], "hi")
    await one.work()
    told(other, "ticket-7", [HELLO, HI, LOUDER], "HI")
    other.stop.set()
    assert [type(event) for event in await other.work()] == [ActionTaken]
    assert (other.tail.num_asked, len(other.troubles_of("unmatched"))) == (0, 1)


async def test_a_reading_that_hangs_is_left_to_itself_when_it_stops(
    one: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, goes_on = threading.Event(), threading.Event()

    def hang(partitions: Collection[int]) -> Iterator[Message]:
        hung.set()
        goes_on.wait(20)
        return iter(())

    monkeypatch.setattr(one.tail, "new_records", hang)
    told(one, "ticket-7", [HELLO, HI, LOUDER], "HI")
    work = asyncio.create_task(one.work())
    await asyncio.to_thread(hung.wait, 5)
    one.stop.set()
    assert len(await asyncio.wait_for(work, 2)) == 1
    assert (len(one.troubles_of("unread")), len(one.troubles_of("unmatched"))) == (1, 1)
    goes_on.set()
