"""Routes follow the reloads in a real log."""

import asyncio

import pytest

from serving.gateway_process import recorded_events, restore
from serving.routing import Routes, follow_reloads
from streams.config import KafkaConfig
from streams.conversation import ConversationIndex
from streams.producer import EventProducer
from streams.topics import RELOADS
from tests.version_lines import loaded

pytestmark = pytest.mark.kafka


async def test_a_gateway_starts_at_the_newest_version_and_follows_what_comes(kafka: KafkaConfig) -> None:
    producer, routes = EventProducer(kafka, "test"), Routes("assistant")
    index = ConversationIndex(max_bytes=10**6, max_age_ms=10**6, max_chain_age_ms=10**6, now_ms=lambda: 0)
    for version in (1, 3, 2):
        await producer.send(RELOADS, loaded(version, policy="assistant"))
    restore(await asyncio.to_thread(recorded_events, kafka), index, routes)
    assert routes.versions == {"assistant": 3}

    following = asyncio.create_task(follow_reloads(kafka, routes))
    await producer.send(RELOADS, loaded(4, policy="assistant"))
    async with asyncio.timeout(20):
        while routes.versions["assistant"] != 4:
            await asyncio.sleep(0.05)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    route = routes.current("assistant")
    assert route is not None
    assert route.adapter == "assistant@4"
    await producer.close()
