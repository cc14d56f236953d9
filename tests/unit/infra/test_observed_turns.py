"""What another model served, through everything that reads actions: stages, trainer, audit, replay, rejudge, views."""

import asyncio
from dataclasses import replace

import pytest
from audited_world import AuditedWorld
from processor_world import BAD, GOOD, HINTED, LetterRenderer, user
from replay_world import altered, echoes, reader, records_of, replayed
from sabotage import report_on

from infra.rejudge.job import rejudge
from infra.replay.slice import Selection
from processors.config import ProcessorsConfig
from schemas.events import Message, SampleBuilt, TurnSkipped, VersionSpan
from schemas.origin import UNSCORED
from streams.config import KafkaConfig
from streams.conversation import ConversationIndex
from streams.observed import ObservedTurn, events_of_observed, observed_id
from streams.query import LogQuery
from streams.recorded import Recorded
from streams.tables import tables
from streams.topics import SAMPLES, SKIPS, TOPIC_OF

REPLIES = (GOOD, HINTED, BAD)


def observe(world: AuditedWorld, *replies: str, reply: str = "hi") -> None:
    """A conversation that another model had; each of its requests is told."""
    index = ConversationIndex(max_bytes=10**9, max_age_ms=10**15, max_chain_age_ms=10**15, now_ms=world.clock)
    messages: tuple[Message, ...] = (user("hello"),)
    for number, text in enumerate((*replies, "bye")):
        answer = Message(role="assistant", content=f"{reply} {number}")
        turn = ObservedTurn(
            action_id=observed_id("default", reply, str(number)),
            time_ms=world.now_ms,
            policy="assistant",
            subject="ada",
            messages=messages,
            reply=answer,
            model="gpt-x",
            finish_reason="stop",
        )
        for event in events_of_observed(turn, index):
            world.gateway.send(TOPIC_OF[type(event)], event)
        messages = (*messages, answer, user(text))


async def lived() -> AuditedWorld:
    world = AuditedWorld()
    observe(world, *REPLIES)
    await world.settle()
    world.learn()
    return world


@pytest.fixture(scope="module")
def world() -> AuditedWorld:
    return asyncio.run(lived())


@pytest.fixture(scope="module")
def records(world: AuditedWorld) -> list[Recorded]:
    return records_of(world.log)


def test_every_judged_turn_is_a_sample_in_the_policys_tokens(world: AuditedWorld) -> None:
    samples = [event for event in world.log.events(SAMPLES) if isinstance(event, SampleBuilt)]
    assert [sample.reward for sample in samples] == [1.0, -1.0, -1.0]
    for number, sample in enumerate(samples):
        assert "".join(map(chr, sample.response_ids)) == f"assistant:hi {number}\n"
        assert sample.logprob_origin == UNSCORED
    assert "".join(map(chr, samples[1].prompt_ids)) == "user:hello\nassistant:hi 0\nuser:thanks\n"


def test_what_is_too_long_for_the_policy_is_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LetterRenderer, "context_length", 40)
    skips = [event for event in asyncio.run(lived()).log.events(SKIPS) if isinstance(event, TurnSkipped)]
    assert [(skip.reason, skip.stage) for skip in skips] == [("too_long", "build")] * 2


def test_the_audit_finds_the_log_in_order_and_a_made_up_log_prob(world: AuditedWorld, records: list[Recorded]) -> None:
    report = report_on(records, world.now_ms)
    assert [finding for tally in report.tallies for finding in tally.failures] == []

    def scored(event: SampleBuilt) -> SampleBuilt:
        num = len(event.response_ids)
        spans = (VersionSpan(version=0, start=0, end=num),)
        return replace(event, logprob_origin="engine", response_logprobs=(-1.0,) * num, token_versions=spans)

    (tally,) = (
        tally
        for tally in report_on(altered(records, "samples", 0, scored), world.now_ms).tallies
        if tally.check == "tokens"
    )
    assert "Its action is unscored and has no tokens" in tally.failures[0].what


def test_a_replay_makes_the_same_tokens(records: list[Recorded]) -> None:
    outcome = replayed(records)
    assert outcome.is_identical, outcome.differences
    assert outcome.counts["samples"].identical == len(REPLIES)


def test_another_policy_can_learn_from_it(records: list[Recorded]) -> None:
    found = rejudge(
        reader(records),
        Selection(),
        policy="other",
        assessors=echoes(),
        renderer=LetterRenderer(),
        config=ProcessorsConfig(batch_size=2),
    )
    samples = [record.event for record in found.records if isinstance(record.event, SampleBuilt)]
    assert [(sample.policy, sample.logprob_origin) for sample in samples] == [("other", UNSCORED)] * len(REPLIES)


def test_the_views_show_its_words_and_claim_no_version_or_tokens(records: list[Recorded]) -> None:
    query = LogQuery(KafkaConfig(), [lambda: tables(records)])
    question = "SELECT question, answer, reply, version, response_tokens, score FROM turns ORDER BY turn"
    assert query.sql(question).rows == (
        ("hello", "hi 0", GOOD, None, None, 1),
        (GOOD, "hi 1", HINTED, None, None, -1),
        (HINTED, "hi 2", BAD, None, None, -1),
        (BAD, "hi 3", None, None, None, None),
    )
    assert query.sql("SELECT DISTINCT model FROM actions").rows == (("gpt-x",),)
