"""Turns of another model, recorded by the SDK: in real Kafka, and through the real stages to the policy's samples."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from example_events import ACTION
from processor_world import BAD, GOOD, World

from schemas.errors import BrokerUnavailableError
from schemas.events import ActionTaken, FeedbackGiven, NextStateObserved, SampleBuilt
from schemas.origin import UNSCORED
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.placement import partition_of
from streams.producer import EventProducer
from streams.record import AgentRecorder
from streams.record_worker import Limits
from streams.tail import LogTail
from streams.topics import ACTIONS, BY_NAME, FEEDBACK, NEXT_STATES, SAMPLES

pytestmark = pytest.mark.kafka
PATIENT = Limits(deadline_s=30)  # a broker that has just started takes seconds over its first producer


def talk(recorder: AgentRecorder) -> str:
    """An agent with another model, whose user thanks, then complains."""

    @recorder.observe(model="gpt-x")
    def ask(messages: list[dict[str, str]]) -> str:
        return f"answer {len(messages)}"

    messages: list[dict[str, str]] = []
    with recorder.conversation() as conversation:
        for text in ("hello", GOOD, BAD):
            messages.append({"role": "user", "content": text})
            messages.append({"role": "assistant", "content": ask(messages)})
        conversation.feedback(thumb=-1)
        assert conversation.last_action_id is not None
        return conversation.last_action_id


async def test_a_foreign_models_turns_become_samples(kafka: KafkaConfig, tmp_path: Path) -> None:
    with AgentRecorder(kafka, spool_folder=tmp_path, limits=PATIENT) as recorder:
        last = talk(recorder)
        assert recorder.flush(30)
        assert recorder.counts == {"kafka": 6}
    records = list(read_all(kafka, [ACTIONS, NEXT_STATES, FEEDBACK]))
    assert [record.error for record in records if record.error] == []
    events = [record.event for record in records]
    assert {type(event): sum(type(one) is type(event) for one in events) for event in events} == {
        ActionTaken: 3,
        NextStateObserved: 2,
        FeedbackGiven: 1,
    }
    assert {event.action_id for event in events if isinstance(event, FeedbackGiven)} == {last}

    world = World()
    for record in records:
        assert record.key is not None
        world.log.append_raw(BY_NAME[record.topic], record.key, record.value, record.headers)
    await world.settle()
    samples = [event for event in world.log.events(SAMPLES) if isinstance(event, SampleBuilt)]
    assert [(sample.turn, sample.reward, sample.logprob_origin) for sample in samples] == [
        (0, 1.0, UNSCORED),
        (1, -1.0, UNSCORED),
    ]
    assert "".join(map(chr, samples[1].response_ids)) == "assistant:answer 3\n"


def test_a_named_conversation_goes_on_in_another_process_and_after_a_restart(
    kafka: KafkaConfig, tmp_path: Path
) -> None:
    messages: list[dict[str, str]] = []
    for text in ("hello", "louder", "thanks"):
        messages.append({"role": "user", "content": text})
        with AgentRecorder(kafka, spool_folder=tmp_path, limits=PATIENT) as recorder:  # a worker of its own
            with recorder.conversation("ticket-7"):
                recorder.record(messages, text.upper())
            assert recorder.flush(30)
        assert set(recorder.counts) == {"kafka"}
        messages.append({"role": "assistant", "content": text.upper()})
    with AgentRecorder(kafka, spool_folder=tmp_path, limits=PATIENT) as recorder:
        recorder.conversation("ticket-7").feedback(thumb=1)
        assert recorder.flush(30)
    events = [record.event for record in read_all(kafka, [ACTIONS, NEXT_STATES, FEEDBACK])]
    actions = sorted((event for event in events if isinstance(event, ActionTaken)), key=lambda action: action.turn)
    states = [event for event in events if isinstance(event, NextStateObserved)]
    assert [action.parent_action_id for action in actions] == [None, actions[0].id, actions[1].id]
    assert {state.action_id: state.messages[0].content for state in states} == {
        actions[0].id: "louder",
        actions[1].id: "thanks",
    }
    assert [event.action_id for event in events if isinstance(event, FeedbackGiven)] == [actions[2].id]
    assert len({event.conversation_id for event in events if event}) == 1


async def test_a_tail_tells_the_newest_records_once_and_soon(kafka: KafkaConfig) -> None:
    key = ACTION.conversation_id.encode()
    there, elsewhere = partition_of(key, ACTIONS.partitions), (partition_of(key, ACTIONS.partitions) + 1) % 4
    producer = EventProducer(kafka, "test")
    for number in range(5):
        await producer.send(ACTIONS, replace(ACTION, id=f"a-{number}"))
    tail = LogTail(kafka, ACTIONS, max_records=3, timeout_s=10, stop=threading.Event())

    def read(*partitions: int) -> list[bytes]:
        return [dict(message.headers())["ce_id"] for message in tail.new_records(partitions)]

    assert read(there, elsewhere) == [b"a-2", b"a-3", b"a-4"]
    begin = time.monotonic()
    assert read(there, elsewhere) == []
    took_s = time.monotonic() - begin
    await producer.send(ACTIONS, replace(ACTION, id="a-5"))
    assert read(elsewhere) == []
    assert read(there) == [b"a-5"]
    tail.close()
    await producer.close()
    assert took_s < 2, "a program that ends waits for this"


def test_a_tail_of_a_kafka_that_is_away_gives_up() -> None:
    nobody = KafkaConfig(bootstrap_servers="127.0.0.1:1")
    tail = LogTail(nobody, ACTIONS, max_records=3, timeout_s=0.3, stop=threading.Event())
    with pytest.raises(BrokerUnavailableError):
        list(tail.new_records([0]))
    tail.close()
