"""What others said of a policy is heard once, however long the log, on real Kafka."""

from collections.abc import Sequence
from contextlib import closing

import pytest

from schemas.events import Event, SubjectErased
from streams.config import KafkaConfig
from streams.producer import EventProducer
from streams.topics import TOPIC_OF
from tests.version_lines import loaded, promoted, refused, rolled_back
from trainer.news import News

pytestmark = pytest.mark.kafka
POLICY = "p"


async def say(kafka: KafkaConfig, events: Sequence[Event]) -> None:
    producer = EventProducer(kafka, "test")
    for event in events:
        await producer.send(TOPIC_OF[type(event)], event)
    await producer.close()


def erased(sample_id: str) -> SubjectErased:
    return SubjectErased(id=f"e{sample_id}", time_ms=1, policy=POLICY, subject_digest="d", sample_ids=(sample_id,))


def covers(news: News, sample_id: str) -> bool:
    return news.erasures().covers(sample_id=sample_id, action_id="a", tenant="t", subject="s", sealed_ms=9)


async def test_each_record_is_heard_once_and_what_is_asked_again_is_remembered(kafka: KafkaConfig) -> None:
    first = [promoted(1), refused(2), rolled_back(3, 1), rolled_back(9, 1, policy="another")]
    # A restarted engine takes older versions after newer ones.
    await say(kafka, [*first, loaded(3), loaded(5), loaded(4), loaded(9, policy="another"), erased("one")])
    with closing(News(kafka, POLICY)) as news:
        assert news.decisions() == first[:3]
        assert news.served_version() == 5
        assert covers(news, "one")
        assert not covers(news, "two")
        assert (news.decisions(), news.served_version()) == ([], 5)

        await say(kafka, [promoted(4), loaded(2), erased("two")])
        assert news.decisions() == [promoted(4)]
        assert news.served_version() == 5
        assert covers(news, "one")
        assert covers(news, "two")

        await say(kafka, [loaded(6)])
        assert news.served_version() == 6
    with closing(News(kafka, "nobody")) as news:
        assert news.served_version() is None
        assert news.decisions() == []
