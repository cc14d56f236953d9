"""The views over a real log: what is sent to Kafka is what SQL finds."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest
from archive_world import taught
from example_events import EXAMPLES
from made_log import POLICY, MadeLog

from schemas.events import BatchSealed, Event, SampleBuilt
from streams.codec import encode, encode_batch
from streams.columns import view_name
from streams.config import KafkaConfig
from streams.learning import explain_learning
from streams.lineage import find, render_tree
from streams.producer import EventProducer
from streams.query import LogQuery
from streams.topics import BATCHES, BY_NAME, NEXT_STATES, TOPICS

pytestmark = pytest.mark.kafka


async def send(config: KafkaConfig, sent: Iterable[tuple[str, Event]]) -> None:
    """Every event to its topic; a batch with those samples that were sent before it."""
    producer = EventProducer(config, "gateway-0")
    samples: dict[str, SampleBuilt] = {}
    acknowledged = []
    for name, event in sent:
        if isinstance(event, SampleBuilt):
            samples[event.id] = event
        if isinstance(event, BatchSealed):
            encoded = encode_batch(event, [samples[sample_id] for sample_id in event.sample_ids], "processors-0")
        else:
            encoded = encode(BY_NAME[name], event, "gateway-0")
        acknowledged.append(producer.send_nowait(BY_NAME[name], encoded))
    await asyncio.gather(*acknowledged)
    await producer.close()


def events_of(log: MadeLog) -> list[tuple[str, Event]]:
    return [(record.topic, record.event) for record in log.records if record.event is not None]


async def test_a_log_on_kafka_answers_as_the_same_log_by_hand(kafka: KafkaConfig) -> None:
    log = taught()
    await send(kafka, events_of(log))
    by_hand, on_kafka = log.query(), LogQuery(kafka)

    for view in ("turns", "learning", "untrained", "lineage"):
        text = f"FROM {view} ORDER BY ALL"
        assert on_kafka.sql(text) == by_hand.sql(text)
    assert render_tree(find(on_kafka, "talk")) == render_tree(find(by_hand, "talk"))
    assert explain_learning(on_kafka, POLICY) == explain_learning(by_hand, POLICY)


async def test_every_type_of_event_is_a_row_of_its_topics_view(kafka: KafkaConfig) -> None:
    examples = [event for event in EXAMPLES if not isinstance(event, BatchSealed)]
    sent = [(topic.name, event) for topic in TOPICS for event in examples if type(event) in topic.types]
    await send(kafka, sent)
    query = LogQuery(kafka)

    assert query.sql("FROM undecodable").rows == ()
    for topic in TOPICS:
        expected = {(event.id, event.type, topic.name) for name, event in sent if name == topic.name}
        found = query.sql(f"SELECT event_id, type, topic FROM {view_name(topic)}").rows
        assert set(found) == expected
        assert (topic is BATCHES) == (not expected)


async def test_a_batch_shows_its_event_although_its_value_is_arrow(kafka: KafkaConfig) -> None:
    await send(kafka, events_of(taught()))

    assert LogQuery(kafka).sql("SELECT event_id, sample_ids, producer FROM batches").rows == (
        ("b1", ["sample-a0", "sample-a1"], "processors-0"),
    )


async def test_a_resent_event_counts_once_and_a_broken_record_is_seen(kafka: KafkaConfig) -> None:
    log = MadeLog()
    log.next_state("a0")
    events = events_of(log)
    await send(kafka, [*events, *events])
    encoded = encode(NEXT_STATES, events[0][1], "gateway-0")
    producer = EventProducer(kafka, "foreign-0")
    placed = await producer.send_nowait(NEXT_STATES, replace(encoded, value=b"{"))
    await producer.close()
    query = LogQuery(kafka)

    assert query.sql("SELECT event_id FROM next_states").rows == (("next-a0",),)
    assert query.sql("SELECT topic, event_id FROM duplicates").rows == (("next-states", "next-a0"),)
    assert query.sql('SELECT topic, partition, "offset" FROM undecodable').rows == (
        ("next-states", placed.partition, placed.offset),
    )


async def test_a_query_is_a_snapshot(kafka: KafkaConfig) -> None:
    events = events_of(taught())
    await send(kafka, events[:1])
    before = LogQuery(kafka)
    assert before.sql("SELECT count(*) FROM turns").rows == ((1,),)
    await send(kafka, events[1:])

    assert before.sql("SELECT count(*) FROM turns").rows == ((1,),)
    assert LogQuery(kafka).sql("SELECT count(*) FROM turns").rows == ((3,),)
