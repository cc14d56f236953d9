"""History judged again: new verdicts beside the old ones, and samples that a policy of another name can train on."""

from dataclasses import replace

import pytest
from processor_world import BAD, GOOD, HINTED, UNRELATED, UNSURE, LetterRenderer, thumb
from replay_world import echoes, lived, reader, records_of

from infra.rejudge.agreement import agreement_of, table
from infra.rejudge.job import Rejudged, rejudge
from infra.replay.run import Assessors
from infra.replay.slice import Selection
from processors.config import ProcessorsConfig
from processors.ports import Judgement
from schemas.events import VerdictReached, VersionSpan
from streams.topics import BATCHES, FEEDBACK, SAMPLES, VERDICTS

REPLIES = (GOOD, BAD, UNRELATED, UNSURE, HINTED)


class Stern(type(echoes().judge)):
    """Never thanks for thanks."""

    name = "stern"

    async def judge(self, transitions):
        return [Judgement(score=-1, votes=(-1,)) for _ in transitions]


def judged_again(records, judge=None, batch_size=2) -> Rejudged:
    assessors = Assessors(judge=judge or Stern(), extractor=echoes().extractor)
    return rejudge(
        reader(records),
        Selection(),
        policy="assistant-stern",
        assessors=assessors,
        renderer=LetterRenderer(),
        config=ProcessorsConfig(batch_size=batch_size),
    )


def events(found, topic):
    return [record.event for record in found.records if record.topic == topic.name]


def test_everybody_is_judged_again_and_nothing_recorded_changes():
    records = records_of(lived(REPLIES).log)
    before = list(records)
    found = judged_again(records)
    assert records == before
    assert [verdict.score for verdict in events(found, VERDICTS)] == [-1] * 5
    agreement = found.agreement
    assert agreement.counts == {(1, -1): 1, (-1, -1): 2, (0, -1): 1, (None, -1): 1}
    assert (agreement.num_only_old, agreement.num_only_new) == (0, 0)
    assert agreement.old_judges == ("echo 1",)
    assert agreement.new_judges == ("stern 1",)
    assert agreement.share == pytest.approx(0.4)
    assert (found.num_hints_old, found.num_hints_new) == (1, 1)


def test_all_that_is_derived_is_the_new_policys_and_starts_at_its_base():
    world = lived(REPLIES)
    records = [
        replace(record, event=replace(record.event, token_versions=(VersionSpan(version=7, start=0, end=2),)))
        if record.topic == "actions"
        else record
        for record in records_of(world.log)
    ]
    found = judged_again(records)
    assert {event.policy for event in (record.event for record in found.records)} == {"assistant-stern"}
    for sample in events(found, SAMPLES):
        assert sample.token_versions == (VersionSpan(version=0, start=0, end=2),)
        assert sample.logprob_origin == "engine:assistant@7"  # who drew the tokens is not lost
        assert len(sample.response_logprobs) == 2


def test_every_sample_is_in_a_batch_at_the_offsets_that_a_new_topic_gives():
    found = judged_again(records_of(lived(REPLIES).log))
    samples = [record for record in found.records if record.topic == "samples"]
    assert [record.offset for record in samples] == [0, 1, 2, 3, 4]
    batches = events(found, BATCHES)
    assert [(batch.first_offset, batch.last_offset, batch.sealed_by) for batch in batches] == [
        (0, 1, "size"),
        (2, 3, "size"),
        (4, 4, "time"),
    ]
    assert [sample_id for batch in batches for sample_id in batch.sample_ids] == [each.event.id for each in samples]


def test_a_thumb_outweighs_the_new_judge_too_also_where_it_came_too_late_for_the_old_one():
    world = lived((GOOD, GOOD, GOOD))
    world.log.append(thumb("c-0/1", conversation_id="c-0"))
    assert [sample.feedback_id for sample in world.log.events(SAMPLES)] == [None] * 3
    found = judged_again(records_of(world.log))
    assert [verdict.score for verdict in events(found, VERDICTS)] == [-1] * 3
    samples = {sample.action_id: (sample.reward, sample.feedback_id) for sample in events(found, SAMPLES)}
    assert samples == {"c-0/0": (-1.0, None), "c-0/1": (1.0, "f-c-0/1"), "c-0/2": (-1.0, None)}
    assert [feedback.policy for feedback in events(found, FEEDBACK)] == ["assistant-stern"]


def verdict(score):
    return VerdictReached(
        id="v",
        time_ms=0,
        policy="assistant",
        transition_id="t",
        action_id="a",
        score=score,
        votes=(score,),
        judge="j",
        judge_version="1",
    )


def judging(*scores):
    return {(f"a-{number}", "n"): verdict(score) for number, score in enumerate(scores)}


def test_agreement_counts_what_both_judged_and_is_beyond_chance():
    agreement = agreement_of(judging(1, 1, -1, None, 0), judging(1, -1, -1, None))
    assert agreement.counts == {(1, 1): 1, (1, -1): 1, (-1, -1): 1, (None, None): 1}
    assert (agreement.num_both, agreement.num_only_old, agreement.num_only_new) == (4, 1, 0)
    assert agreement.share == pytest.approx(0.75)
    by_chance = (2 * 1 + 1 * 2 + 1 * 1) / 16  # how often each says +1, -1 and nothing
    assert agreement.kappa == pytest.approx((0.75 - by_chance) / (1 - by_chance))
    assert list(table(agreement))[1].split() == ["-1", "1", "0", "0", "0"]


@pytest.mark.parametrize("judged", [judging(), judging(1, 1)])
def test_kappa_is_not_made_up_where_it_is_undefined(judged):
    agreement = agreement_of(judged, judged)
    assert agreement.kappa is None
    assert agreement.share == (1.0 if judged else None)
