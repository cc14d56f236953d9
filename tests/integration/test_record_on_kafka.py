"""Turns of another model, recorded by the SDK: in real Kafka, and through the real stages to the policy's samples."""

from pathlib import Path

import pytest
from processor_world import BAD, GOOD, World

from schemas.events import ActionTaken, FeedbackGiven, NextStateObserved, SampleBuilt
from schemas.origin import UNSCORED
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.record import AgentRecorder
from streams.record_worker import Limits
from streams.topics import ACTIONS, BY_NAME, FEEDBACK, NEXT_STATES, SAMPLES

pytestmark = pytest.mark.kafka


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
    patient = Limits(deadline_s=30)  # a broker that has just started takes seconds over its first producer
    with AgentRecorder(kafka, spool_folder=tmp_path, limits=patient) as recorder:
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
