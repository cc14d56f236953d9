"""The recorder SDK: what programs say becomes events, and nothing that goes wrong reaches them."""

import asyncio
import contextvars
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.errors import RejectedError
from schemas.events import ActionTaken, Event, FeedbackGiven, NextStateObserved, Sampling
from streams.codec import encode
from streams.config import KafkaConfig
from streams.conversation import ConversationIndex
from streams.record import AgentRecorder, Conversation
from streams.record_spools import folder_name
from streams.record_worker import Limits
from streams.record_writer import RecordWriter
from streams.spool import Spool
from streams.topics import ACTIONS

NOBODY = "127.0.0.1:1"  # nothing listens there
HELLO = {"role": "user", "content": "hello"}
LOUDER = {"role": "user", "content": "louder"}
HI = {"role": "assistant", "content": "hi"}


class Heard:
    """A recorder whose items are read here instead of in its thread."""

    def __init__(self, folder: Path) -> None:
        self.recorder = AgentRecorder(NOBODY, spool_folder=folder, subject="ada")
        self.items: list[Any] = []
        self.recorder._worker.put = self.items.append  # type: ignore[method-assign]
        self.index = ConversationIndex(
            max_bytes=10**9, max_age_ms=10**15, max_chain_age_ms=10**15, now_ms=lambda: 10**13
        )

    def events(self) -> list[Event]:
        found = [event for item in self.items for event in item.events(self.index)]
        self.items.clear()
        return found

    def action(self) -> ActionTaken:
        *_, action = self.events()
        assert isinstance(action, ActionTaken)
        return action


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    heard = Heard(tmp_path)
    yield heard
    heard.recorder.close()


def completion(message: dict[str, Any], **own: Any) -> dict[str, Any]:
    return {"id": "c", "model": "gpt-x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **own}


def test_an_answer_is_told_with_what_followed_the_one_before(heard: Heard) -> None:
    first = heard.recorder.record([HELLO], "hi", model="gpt-x")
    second = heard.recorder.record([HELLO, HI, LOUDER], HI)
    action, state, other = heard.events()
    assert (action.id, other.id) == (first, second)
    assert isinstance(state, NextStateObserved)
    assert (state.action_id, state.messages[0].content) == (first, "louder")
    assert {event.subject for event in (action, state, other)} == {"ada"}


@pytest.mark.parametrize(
    "reply",
    ["hi", HI, {"content": "hi"}, completion(HI), SimpleNamespace(model_dump=lambda: completion(HI))],
)
def test_a_reply_is_read_in_each_form_that_programs_have(heard: Heard, reply: object) -> None:
    heard.recorder.record([SimpleNamespace(model_dump=lambda: HELLO)], reply)
    action = heard.action()
    assert (action.reply.content, action.finish_reason) == ("hi", "stop")
    assert action.messages[0].content == "hello"


TEXT, CALL, RESULT = (
    {"type": "text", "text": "hi"},
    {"type": "tool_use", "id": "1", "name": "look", "input": {}},
    {"type": "tool_result", "tool_use_id": "1", "content": "42"},
)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ({"object": "response", "output": [{"type": "message", "content": [TEXT]}]}, "Responses is not read"),
        ({"role": "assistant", "content": [TEXT, CALL], "stop_reason": "tool_use"}, "part 'tool_use' is not read"),
        ({"answer": "4"}, "this one holds answer"),
        ({}, "holds nothing"),
        ({"role": "user", "content": "hi"}, "role 'user'"),
        ({"choices": [{"text": "4"}]}, "must hold a choice with a message"),
        ({"content": None}, "no word and no tool call"),
        (completion({"role": "assistant", "content": ""}), "no word and no tool call"),
        ("", "no word and no tool call"),
    ],
)
def test_what_is_no_reply_is_refused_by_its_name(heard: Heard, reply: object, why: str) -> None:
    heard.recorder.record([HELLO], reply)
    with pytest.raises(RejectedError, match=why):
        heard.events()


def test_a_tool_result_of_another_form_is_refused_by_its_name(heard: Heard) -> None:
    heard.recorder.record([HELLO, HI, {"role": "user", "content": [RESULT]}], "hi")
    with pytest.raises(RejectedError, match="part 'tool_result' is not read"):
        heard.events()


def test_words_in_anthropics_form_are_read_without_its_thoughts(heard: Heard) -> None:
    content = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, TEXT]
    reply = {"role": "assistant", "content": content, "model": "claude-x", "stop_reason": "max_tokens"}
    heard.recorder.record([HELLO], reply)
    heard.recorder.record([HELLO, {"role": "assistant", "content": content}, LOUDER], "HI")
    action, state, _ = heard.events()
    assert isinstance(action, ActionTaken)
    assert (action.reply.content, action.reply.media) == ("hi", ())
    assert (action.model, action.finish_reason) == ("claude-x", "length")
    assert isinstance(state, NextStateObserved)
    assert state.action_id == action.id


def test_tools_calls_and_results_are_kept(heard: Heard) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    calls = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "1", "content": "42"}
    tools = [{"type": "function", "function": {"name": "look"}}]
    heard.recorder.record([HELLO], completion(calls), request={"tools": tools, "temperature": 0})
    held = {**calls, "tool_calls": [SimpleNamespace(model_dump=lambda: call)]}  # the client's object in an own dict
    heard.recorder.record([HELLO, held, result], "42")
    action, state, _ = heard.events()
    assert isinstance(action, ActionTaken)
    assert (action.finish_reason, action.source, action.model) == ("stop", "tool", "gpt-x")
    assert '"look"' in action.tools
    assert action.sampling.temperature == 0
    assert state.source == "tool"


def test_a_turn_is_kept_whatever_its_request_says_of_sampling(heard: Heard) -> None:
    request = {"temperature": float("nan"), "top_p": True, "top_k": 20, "seed": 7, "stop": ["\n"]}
    heard.recorder.record([HELLO], "hi", request=request)
    action = heard.action()
    assert action.sampling == Sampling(top_k=20, seed=7, stop=("\n",))
    encode(ACTIONS, action, "test")


@pytest.mark.parametrize("by_name", [True, False])
def test_an_observed_function_is_itself_and_its_calls_are_recorded(heard: Heard, by_name: bool) -> None:
    @heard.recorder.observe(model="gpt-y")
    def ask(prefix: str, messages: list[Any], *, temperature: float = 1.0) -> str:
        """Asks."""
        messages.append(HI)  # as many a program does
        return f"{prefix}!"

    messages = [HELLO]
    reply = ask("hi", messages=messages, temperature=0.5) if by_name else ask("hi", messages)
    assert (reply, ask.__name__, ask.__doc__) == ("hi!", "ask", "Asks.")
    action = heard.action()
    assert [message.content for message in action.messages] == ["hello"], "as it was before the call"
    assert (action.model, action.reply.content) == ("gpt-y", "hi!")


async def test_an_async_function_and_a_method_are_observed_too(heard: Heard) -> None:
    class Agent:
        @heard.recorder.observe
        async def ask(self, prompt: list[Any]) -> dict[str, Any]:
            await asyncio.sleep(0)
            return completion(HI)

    assert (await Agent().ask([HELLO]))["id"] == "c"
    assert heard.action().model == "gpt-x"


def test_an_error_of_the_program_stays_its_own_and_is_no_turn(heard: Heard) -> None:
    @heard.recorder.observe
    def fails(messages: list[Any]) -> str:
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        fails([HELLO])
    assert heard.items == []


def test_a_conversation_names_its_turns_and_knows_its_last_answer(heard: Heard) -> None:
    with heard.recorder.conversation("ticket-7", subject="bob") as talk:
        heard.recorder.record([HELLO], "hi")
        talk.next_state({"role": "user", "content": "thanks"})
        talk.feedback(thumb=1, comment="Good.")
    heard.recorder.record([HELLO], "hi")
    action, state, feedback, outside = heard.events()
    assert isinstance(state, NextStateObserved)
    assert isinstance(feedback, FeedbackGiven)
    assert state.action_id == feedback.action_id == action.id == talk.last_action_id
    assert {event.subject for event in (action, state, feedback)} == {"bob"}
    assert action.conversation_id == state.conversation_id != outside.conversation_id
    assert feedback.thumb == 1


async def test_tasks_have_conversations_of_their_own(heard: Heard) -> None:
    async def talk(name: str) -> Conversation:
        async with heard.recorder.conversation(name) as own:
            await asyncio.sleep(0)
            heard.recorder.record([HELLO], "hi")
            await asyncio.sleep(0)
        return own

    one, other = await asyncio.gather(talk("one"), talk("other"))
    events = {event.id: event.conversation_id for event in heard.events()}
    assert one.last_action_id != other.last_action_id
    assert len(set(events.values())) == 2


def test_a_conversation_that_another_context_closes_is_over_and_raises_nothing(heard: Heard) -> None:
    def talks() -> Iterator[None]:
        with heard.recorder.conversation("ticket-7"):
            yield

    talk = talks()
    contextvars.copy_context().run(next, talk)
    contextvars.copy_context().run(next, talk, None)
    heard.recorder.record([HELLO], "hi")
    assert heard.items[0].session_id is None


def test_threads_may_share_a_conversation_and_each_leaves_it_for_itself(heard: Heard) -> None:
    talk = heard.recorder.conversation("ticket-7")
    with ThreadPoolExecutor(1) as other_thread:
        with talk:
            other_thread.submit(talk.__enter__).result()
        heard.recorder.record([HELLO], "hi")
        other_thread.submit(heard.recorder.record, [HELLO], "hi").result()
        other_thread.submit(talk.__exit__, None, None, None).result()
        other_thread.submit(heard.recorder.record, [HELLO], "hi").result()
    assert [item.session_id for item in heard.items] == [None, "ticket-7", None]


def test_conversations_that_overlap_end_in_any_order(heard: Heard) -> None:
    one, other = heard.recorder.conversation("one"), heard.recorder.conversation("other")
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    heard.recorder.record([HELLO], "hi")
    other.__exit__(None, None, None)
    heard.recorder.record([HELLO], "hi")
    assert [item.session_id for item in heard.items] == ["other", None]


def test_what_ends_or_exits_is_said(heard: Heard) -> None:
    action_id = heard.recorder.record([HELLO], "hi")
    heard.recorder.next_state(action_id)
    heard.recorder.next_state(action_id, exit_code=1)
    _, done, failed = heard.events()
    assert isinstance(done, NextStateObserved)
    assert isinstance(failed, NextStateObserved)
    assert (done.kind, done.ended_reason) == ("ended", "done")
    assert (failed.kind, failed.exit_code, failed.source) == ("messages", 1, "tool")


def test_the_programs_own_name_of_an_answer_counts_once(heard: Heard) -> None:
    ids = [heard.recorder.record([HELLO], "hi", own_id="run-1/3") for _ in range(2)]
    assert len(set(ids)) == 1
    assert len(heard.events()) == 1


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[AgentRecorder]:
    with AgentRecorder(NOBODY, spool_folder=tmp_path, limits=Limits(max_queued=3, deadline_s=0.1)) as recorder:
        yield recorder


def test_whatever_a_program_gives_it_goes_on_and_hears_of_it_once(
    recorder: AgentRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    def explode() -> Any:
        raise ValueError("inside")

    odd: list[Callable[[], object]] = [
        lambda: recorder.record(5, "hi"),  # type: ignore[arg-type]
        lambda: recorder.record([HELLO], object()),
        lambda: recorder.record([{"role": "elf"}], SimpleNamespace(model_dump=explode)),
        lambda: recorder.observe(lambda messages: "hi")("no list"),
        lambda: recorder.feedback("nobody", thumb=1),
        lambda: recorder.record([HELLO], "hi", own_id=42),  # type: ignore[arg-type]
        lambda: recorder.record([HELLO], "hi", own_id="\ud800"),
        lambda: recorder.observe(min)("no list"),
    ]
    with caplog.at_level(logging.WARNING, "nextstate.recorder"):
        for do in odd:
            do()
            assert recorder.flush()
    assert recorder.counts == {"failed": len(odd), "unread": 1}, "unread: to whom the answer `nobody` was given"
    assert len(caplog.records) == 2


def test_a_full_queue_drops_and_never_waits(recorder: AgentRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder._worker, "_start", lambda: None)  # nobody takes what is put
    for _ in range(5):
        recorder.record([HELLO], "hi")
    assert recorder.counts == {"dropped": 2}


def test_what_waits_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    limits = Limits(max_queued_bytes=1_000_000, deadline_s=1.0)
    with AgentRecorder(NOBODY, spool_folder=tmp_path, limits=limits) as recorder:
        for _ in range(10):  # the first waits for Kafka, and all others for the first
            recorder.record([{"role": "user", "content": "x" * 300_000}], "hi")
            time.sleep(0.1)
        assert recorder.flush(10)
        assert recorder.counts["dropped"] > 0
        assert recorder.counts["dropped"] + recorder.counts["spool"] == 10


def test_a_call_is_quick_while_kafka_is_away_and_the_spool_has_it(tmp_path: Path) -> None:
    with AgentRecorder(NOBODY, spool_folder=tmp_path, limits=Limits(deadline_s=0.1)) as recorder:
        start = time.perf_counter()
        for number in range(100):
            recorder.record([HELLO], f"hi {number}")
        took_s = time.perf_counter() - start
        assert recorder.flush(60)
        assert recorder.counts == {"spool": 100}
    assert took_s < 0.1  # 10 us each here, beside the start of a thread
    with Spool(tmp_path / folder_name(KafkaConfig(bootstrap_servers=NOBODY)) / "recorder-0", 10**9) as spool:
        assert len(list(spool.replay())) == 100


def test_what_cannot_be_read_back_is_recorded_before_the_program_ends(tmp_path: Path) -> None:
    recorder = AgentRecorder(NOBODY, spool_folder=tmp_path, limits=Limits(deadline_s=0.1))
    with recorder.conversation("ticket-7"):
        recorder.record([HELLO, HI, LOUDER], "HI")
    recorder.close()
    assert recorder.counts == {"spool": 1, "unread": 1, "unmatched": 1}


def test_a_program_without_a_home_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nowhere)
    recorder = AgentRecorder(NOBODY, limits=Limits(deadline_s=0.1))
    recorder.record([HELLO], "hi")
    assert recorder.flush(10)
    assert recorder.counts == {"failed": 1}, "as there is neither Kafka nor a spool"
    recorder.close(0.1)


PROGRAM = """
import os, sys
from pathlib import Path
from streams.record import AgentRecorder
from streams.record_spools import folder_name
from streams.record_worker import Limits
from streams.record_writer import RecordWriter

recorder = AgentRecorder("127.0.0.1:1", spool_folder=Path(sys.argv[1]), limits=Limits(deadline_s=0.1))
recorder.record([{"role": "user", "content": "parent"}], "hi")
recorder.flush(30)
if os.fork() == 0:
    recorder.record([{"role": "user", "content": "child"}], "hi")
    recorder.close(30)
    os._exit(0)
os.wait()
recorder.record([{"role": "user", "content": "parent's last word"}], "hi")
"""


def test_what_is_told_last_is_recorded_and_a_child_records_its_own(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], check=True, timeout=60, env={**os.environ, "PYTHONPATH": "."}
    )
    kept = {}
    for name in ("recorder-0", "recorder-1"):
        with Spool(tmp_path / folder_name(KafkaConfig(bootstrap_servers=NOBODY)) / name, 10**9) as spool:
            kept[name] = b"".join(record for _, record in spool.replay())
    assert b"parent's last word" in kept["recorder-0"]
    assert b"child" in kept["recorder-1"]
    assert b"child" not in kept["recorder-0"]


HANGING = """
import pathlib, sys, time
from streams.record import AgentRecorder
from streams.tail import LogTail

def hang(self, partitions):
    time.sleep(60)
    return iter(())

LogTail.new_records = hang
recorder = AgentRecorder("127.0.0.1:1", spool_folder=pathlib.Path(sys.argv[1]))
answers = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
with recorder.conversation("ticket-7"):
    recorder.record([*answers, {"role": "user", "content": "first"}], "answer")
recorder.record([{"role": "user", "content": "last"}], "hi")
"""


def test_a_reading_that_hangs_keeps_no_program_from_its_end_and_loses_nothing(tmp_path: Path) -> None:
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", HANGING, str(tmp_path)], check=True, timeout=15, env={**os.environ, "PYTHONPATH": "."}
    )
    assert time.monotonic() - begin < 10, "5 s to close, and the start of Python"
    with Spool(tmp_path / folder_name(KafkaConfig(bootstrap_servers=NOBODY)) / "recorder-0", 10**9) as spool:
        kept = b"".join(record for _, record in spool.replay())
    assert b"first" in kept
    assert b"last" in kept


def test_what_close_gives_up_on_is_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, goes_on = threading.Event(), threading.Event()

    async def write(self: RecordWriter, items: Any, counts: Any) -> None:
        while items:
            has_begun.set()
            await asyncio.sleep(0.02)
            if goes_on.is_set():
                items.clear()

    monkeypatch.setattr(RecordWriter, "write", write)
    recorder = AgentRecorder(NOBODY, spool_folder=tmp_path)
    for _ in range(2):
        recorder.record([HELLO], "hi")
    assert has_begun.wait(10)
    with caplog.at_level(logging.WARNING, "nextstate.recorder"):
        recorder.close(0.2)
        recorder.close(0.2)
    assert recorder.counts == {"dropped": 2}, "each once"
    assert [record.message for record in caplog.records] == ["closing with 2 items that are not recorded"]
    goes_on.set()
    recorder.close()


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"model": 5}, "model is of type int"),
        ({"turn_type": "maiin"}, "turn_type is 'maiin'"),
        ({"request": ["x"]}, "request is of type list"),
    ],
)
def test_an_argument_of_another_type_is_named(heard: Heard, told: dict[str, Any], named: str) -> None:
    heard.recorder.record([HELLO], "hi", **told)
    with pytest.raises(RejectedError, match=named):
        heard.events()


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"thumb": "up"}, "thumb is 'up'; give one of None, -1, 1"),
        ({"thumb": True}, "thumb is True"),
        ({"rating": "5", "scale": (1, 5)}, "rating is of type str"),
        ({"rating": 5, "scale": (1,)}, "scale is no pair"),
        ({"rating": 5, "scale": (1, "5")}, "scale is of type str"),
        ({"rating": 2**64, "scale": (1, 2**64)}, "more than 64 bits"),
        ({"comment": b"x"}, "comment is of type bytes"),
    ],
)
def test_feedback_of_another_type_is_named(heard: Heard, told: dict[str, Any], named: str) -> None:
    action_id = heard.recorder.record([HELLO], "hi")
    heard.events()
    heard.recorder.feedback(action_id, **told)
    with pytest.raises(RejectedError, match=named):
        heard.events()


def test_an_answer_that_is_named_by_no_text_is_refused(heard: Heard) -> None:
    heard.recorder.next_state(["a"], HELLO)  # type: ignore[arg-type]
    heard.recorder.feedback("", session_id=5, thumb=1)  # type: ignore[arg-type]
    for item, named in zip(heard.items, ("action_id is of type list", "session_id is of type int"), strict=True):
        with pytest.raises(RejectedError, match=named):
            item.missing(heard.index)
