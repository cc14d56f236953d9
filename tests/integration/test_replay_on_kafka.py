"""A replay of what the processors really wrote, killed in the middle, on a real broker."""

import asyncio
from dataclasses import replace

import pytest
from processor_world import LetterRenderer
from test_processors import feed, num_ids, processors, until

from infra.commands.log import Log
from infra.replay.comparison import Outcome
from infra.replay.history import read_recorded
from infra.replay.run import replay
from infra.replay.slice import Read, Selection
from processors.config import ProcessorsConfig
from schemas.events import SampleBuilt
from streams.codec import encode
from streams.consumer import read_all
from streams.topics import BATCHES, SAMPLES, SKIPS, VERDICTS

pytestmark = pytest.mark.kafka

NUM_TURNS = 60  # three of five make a sample


def num_packed(kafka):
    return len({sample_id for record in read_all(kafka, (BATCHES,)) for sample_id in record.event.sample_ids})


def replayed(read: Read) -> Outcome:
    config = ProcessorsConfig()
    taken, history = read_recorded(read, Selection(), config.max_open_age_s)
    return asyncio.run(replay(taken, history, LetterRenderer(), config)).outcome(read)


def with_another_reward(read: Read) -> Read:
    """The log as it would be if its first sample had been recorded with another reward."""

    def changed(topics):
        is_changed = False
        for record in read(topics):
            if isinstance(record.event, SampleBuilt) and (record.partition, record.offset) == first:
                event = replace(record.event, reward=0.25)
                record = replace(record, event=event, value=encode(SAMPLES, event, "test").value)  # noqa: PLW2901
                is_changed = True
            yield record
        assert is_changed or SAMPLES not in topics

    first = min((record.partition, record.offset) for record in read((SAMPLES,)))
    return changed


def test_what_killed_processors_wrote_replays_byte_for_byte_and_one_changed_value_is_named(kafka, tmp_path):
    feed(kafka, range(NUM_TURNS))
    with processors(kafka, tmp_path, {"batch_size": 8}):
        until(lambda: num_ids(kafka, VERDICTS) > 0, "the processors make progress")
    with processors(kafka, tmp_path, {"batch_size": 8, "seal_after_s": 5.0}):
        until(lambda: num_ids(kafka, SKIPS) == NUM_TURNS * 2 // 5, "what does not train is skipped")
        until(lambda: num_packed(kafka) == NUM_TURNS * 3 // 5, "every sample is in a batch")

    outcome = replayed(Log(kafka=kafka, archive=None).records)
    assert outcome.differences == ()
    assert outcome.not_compared == {}
    counts = {topic: each.identical for topic, each in outcome.counts.items()}
    assert counts == {
        "transitions": 60,
        "verdicts": 60,
        "hints": 60,
        "samples": 36,
        "skips": 24,
        "rejections": 0,
        "batches": num_ids(kafka, BATCHES),
    }

    (named,) = replayed(with_another_reward(Log(kafka=kafka, archive=None).records)).differences
    assert (named.topic, named.kind, named.field) == ("samples", "other value", "reward")
    assert named.recorded == 0.25
