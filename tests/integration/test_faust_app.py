"""Where a Faust app goes on after partitions were assigned, on a real broker."""

import asyncio

import pytest
from faust.types import TP
from processor_world import action

from processors.faust_app import commit, make_app
from streams.producer import EventProducer
from streams.topics import ACTIONS

pytestmark = pytest.mark.kafka

NUM_RECORDS = 5
DEADLINE_S = 120.0


@pytest.mark.parametrize("committed", [None, 0, 2])
async def test_what_is_fetched_and_not_committed_is_delivered_again(kafka, tmp_path, committed):
    """As at a rebalance: Faust fetches, throws away, and seeks to what is committed."""
    producer = EventProducer(kafka, "test")
    sent = [await producer.send(ACTIONS, action(f"a-{number}", conversation="c")) for number in range(NUM_RECORDS)]
    await producer.close()
    place = TP(kafka.topic(ACTIONS.name), sent[0].partition)
    delivered = []

    async def deliver(stream):
        async for event in stream.events():
            delivered.append(event.message.offset)  # noqa: PERF401 - seen while it grows

    app = make_app(kafka, tmp_path)
    app.agent(app.topic(place.topic, key_serializer="raw", value_serializer="raw", acks=False))(deliver)
    await app.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(delivered) < NUM_RECORDS:
                await asyncio.sleep(0.05)
            app.consumer.stop_flow()
            if committed is not None:
                await commit(app, kafka, {(ACTIONS.name, place.partition): committed})
            await app.consumer.perform_seek()
            assert await app.consumer.position(place) == (committed or 0)
            app.consumer.resume_flow()
            while len(delivered) < 2 * NUM_RECORDS - (committed or 0):
                await asyncio.sleep(0.05)
    finally:
        await app.stop()
    assert delivered == [*range(NUM_RECORDS), *range(committed or 0, NUM_RECORDS)]
