"""A producer that has only schemas/json and a Kafka client: what it writes is read, joined in the views, or refused."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from jsonschema import Draft202012Validator

from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.query import LogQuery
from streams.topics import TOPICS

pytestmark = pytest.mark.kafka

SCHEMAS = Path(__file__).parents[2] / "schemas" / "json"
WIRE = json.loads((SCHEMAS / "topics.json").read_text())
FLUSH_S = 10.0

WHOSE = {"policy": "tutor", "conversation_id": "lesson-7", "subject": "ada", "episode_id": "exam-1"}
ASKED = {"role": "user", "content": "What is 2 + 2?"}
ANSWERED = {"role": "assistant", "content": "4"}
REPLIED = {"role": "user", "content": "Thanks!"}

ACTION = {
    **WHOSE,
    "turn": 0,
    "request_id": "request-1",
    "messages": [ASKED],
    "prompt_ids": [5, 6, 7],
    "template_digest": "of-our-template",
    "reply": ANSWERED,
    "model": "our-own",
    "sampling": {"temperature": 0.7},
    "response_ids": [4],
    "response_logprobs": [-0.25],
    "token_versions": [{"version": 0, "start": 0, "end": 1}],
    "finish_reason": "stop",
    "our_own_field": "is no business of nextstate's",
}
NEXT_STATE = {**WHOSE, "action_id": "action-1", "messages": [REPLIED]}
TRANSITION = {
    **WHOSE,
    "action_id": "action-1",
    "next_state_id": "reply-1",
    "turn": 0,
    "context": [ASKED],
    "reply": ANSWERED,
    "kind": "messages",
    "next_messages": [REPLIED],
}
FEEDBACK = {**WHOSE, "action_id": "action-1"}
OUTCOME = {**WHOSE, "score": 1, "verifier": "exam"}


class ForeignProducer:
    """As a program in another language would do it: nothing of ours but the published documents."""

    def __init__(self, config: KafkaConfig) -> None:
        self._prefix = config.topic_prefix
        self._client = Producer({"bootstrap.servers": config.bootstrap_servers, "partitioner": WIRE["partitioner"]})

    def send(self, topic: str, event_type: str, value: dict[str, Any], event_id: str = "") -> None:
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": event_id or str(uuid.uuid4()),
            "ce_type": event_type,
            "ce_source": "school",
            "ce_time": "2026-01-31T13:00:00+01:00",
            "content-type": "application/json",
        }
        assert attributes.keys() == WIRE["headers"].keys()
        accepted = WIRE["topics"][topic]
        assert event_type in accepted["types"] + accepted["deprecated_types"]
        key = value["episode_id"] if topic == "outcomes" else value["conversation_id"]  # as topics.json says of each
        headers: list[tuple[str, str | bytes | None]] = list(attributes.items())
        self._client.produce(self._prefix + topic, key=key, value=json.dumps(value), headers=headers)
        assert self._client.flush(FLUSH_S) == 0

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def school(kafka: KafkaConfig) -> Iterator[ForeignProducer]:
    with closing(ForeignProducer(kafka)) as producer:
        yield producer


def valid(event_type: str, value: dict[str, Any]) -> bool:
    schema = json.loads((SCHEMAS / f"{event_type}.json").read_text())
    return Draft202012Validator(schema).is_valid(value)


def test_what_the_schemas_allow_reaches_the_views(kafka: KafkaConfig, school: ForeignProducer) -> None:
    for topic, event_type, event_id, value in (
        ("actions", "nextstate.action.taken.v2", "action-1", ACTION),
        ("next-states", "nextstate.next_state.observed.v1", "reply-1", NEXT_STATE),
        ("transitions", "nextstate.transition.joined.v1", "pair-1", TRANSITION),
        ("outcomes", "nextstate.outcome.reported.v1", "exam-result", OUTCOME),
    ):
        assert valid(event_type, value)
        school.send(topic, event_type, value, event_id)

    assert [record.error for record in read_all(kafka, TOPICS) if record.error] == []
    turn = "SELECT action_id, policy, subject, question, answer, reply, outcome, time::VARCHAR FROM turns"
    assert LogQuery(kafka).sql(turn).rows == (
        ("action-1", "tutor", "ada", "What is 2 + 2?", "4", "Thanks!", 1.0, "2026-01-31 12:00:00+00"),
    )


def test_producers_of_both_versions_of_feedback_are_rows_of_one_view(
    kafka: KafkaConfig, school: ForeignProducer
) -> None:
    for event_type, event_id, said in (
        ("nextstate.feedback.given.v1", "old-thumb", {"rating": -1}),
        ("nextstate.feedback.given.v1", "old-rating", {"rating": 4.5, "comment": "Good."}),
        ("nextstate.feedback.given.v2", "thumb", {"thumb": 1}),
        ("nextstate.feedback.given.v2", "stars", {"rating": 4, "worst_rating": 1, "best_rating": 5}),
        ("nextstate.feedback.given.v2", "grade", {"rating": 1, "worst_rating": 6, "best_rating": 1}),
    ):
        assert valid(event_type, {**FEEDBACK, **said})
        school.send("feedback", event_type, {**FEEDBACK, **said}, event_id)

    question = """
        SELECT event_id, thumb, rating, (rating - worst_rating) / (best_rating - worst_rating) AS share, comment
        FROM feedback ORDER BY "offset"
    """
    assert LogQuery(kafka).sql(question).rows == (
        ("old-thumb", -1, None, None, ""),
        ("old-rating", None, 4.5, None, "Good."),
        ("thumb", 1, None, None, ""),
        ("stars", None, 4.0, 0.75, ""),
        ("grade", None, 1.0, 1.0, ""),
    )


def test_what_the_schemas_refuse_is_undecodable_and_says_why(kafka: KafkaConfig, school: ForeignProducer) -> None:
    for event_type, said in (
        ("nextstate.feedback.given.v1", {"rating": "good"}),
        ("nextstate.feedback.given.v2", {"thumb": 5}),
        ("nextstate.feedback.given.v2", {"action_id": None}),
    ):
        assert not valid(event_type, {**FEEDBACK, **said})
        school.send("feedback", event_type, {**FEEDBACK, **said})

    query = LogQuery(kafka)
    assert query.sql("SELECT count(*) FROM feedback").rows == ((0,),)
    fields = """SELECT regexp_extract(reason, '\\$\\.(\\w+)', 1) FROM undecodable ORDER BY "offset" """
    assert query.sql(fields).rows == (("rating",), ("thumb",), ("action_id",))
