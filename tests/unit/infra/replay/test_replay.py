"""A replay with the recorded judgements gives what was recorded, and names whatever does not fit it."""

import asyncio
from dataclasses import replace

import pytest
from example_events import EXAMPLES
from processor_world import BAD, GOOD, HINTED, UNRELATED, UNSURE, action, ended, next_state, thumb, user
from replay_world import altered, echoes, lived, records_of, replayed, talk

from infra.replay.history import (
    EXPIRED,
    FORGOTTEN,
    NO_ACTION,
    NO_BASE,
    NO_FEEDBACK,
    NO_NEXT_STATE,
    NOT_OURS,
    PARTLY_OUTSIDE,
)
from infra.replay.run import Assessors
from infra.replay.slice import EmptySliceError, Selection
from processors.config import ProcessorsConfig
from processors.join import skip
from processors.ports import Judgement
from schemas.events import CheckpointPublished
from streams.topics import (
    ACTIONS,
    BATCHES,
    FEEDBACK,
    HINTS,
    NEXT_STATES,
    REJECTIONS,
    SAMPLES,
    SKIPS,
    TRANSITIONS,
    VERDICTS,
)

REPLIES = (GOOD, BAD, UNRELATED, UNSURE, HINTED, None)


def kinds(outcome):
    """How often each kind of difference is found, by topic."""
    return {(topic, kind): count for topic, each in outcome.counts.items() for kind, count in each.kinds.items()}


def test_the_same_code_and_the_recorded_judgements_give_every_record_byte_for_byte():
    outcome = replayed(records_of(lived(REPLIES, (BAD, BAD), (HINTED, GOOD, GOOD)).log))
    assert outcome.is_identical
    assert outcome.differences == ()
    assert outcome.not_compared == {}
    counts = {topic: (each.recorded, each.replayed, each.identical) for topic, each in outcome.counts.items()}
    assert counts == {
        "transitions": (10, 10, 10),
        "verdicts": (10, 10, 10),
        "hints": (10, 10, 10),
        "samples": (8, 8, 8),
        "skips": (2, 2, 2),
        "rejections": (0, 0, 0),
        "batches": (4, 4, 4),
    }


def test_two_replays_of_one_slice_write_the_same_records():
    records = records_of(lived(REPLIES, (BAD, BAD)).log)
    first, second = [], []
    replayed(records, observe=first.append)
    replayed(records, observe=second.append)
    assert first == second
    assert len(first) > 20


def test_a_batch_sealed_by_time_is_sealed_by_time_again():
    world = lived((GOOD,), config=ProcessorsConfig(batch_size=2, seal_after_s=60))
    world.wait(61)
    asyncio.run(world.pack_stage.handle(()))
    talk(world, "later", (GOOD, BAD))
    asyncio.run(world.settle())
    assert [batch.sealed_by for batch in world.log.events(BATCHES)] == ["time", "size"]
    assert replayed(records_of(world.log)).is_identical


@pytest.mark.parametrize(
    ("topic", "change", "field"),
    [
        (TRANSITIONS, {"turn": 9}, "turn"),
        (SAMPLES, {"reward": 0.5}, "reward"),
        (SKIPS, {"detail": "another"}, "detail"),
        (HINTS, {"action_id": "someone"}, "action_id"),
        (VERDICTS, {"subject": "bob"}, "subject"),
    ],
)
def test_one_recorded_value_that_the_code_does_not_give_is_named(topic, change, field):
    records = records_of(lived(REPLIES).log)
    changed = altered(records, topic.name, 0, lambda event: replace(event, **change))
    outcome = replayed(changed)
    assert not outcome.is_identical
    (named,) = [each for each in outcome.differences if each.topic == topic.name]
    assert (named.kind, named.field, named.recorded) == ("other value", field, change[field])


def test_a_changed_verdict_shows_in_what_was_derived_from_it():
    records = records_of(lived((GOOD, BAD)).log)
    changed = altered(records, "verdicts", 0, lambda verdict: replace(verdict, score=-1))
    outcome = replayed(changed)  # the verdict itself is taken for recorded: a judge may say anything
    assert kinds(outcome) == {("samples", "other value"): 1, ("batches", "other value"): 1}
    sample, batch = outcome.differences
    assert (sample.field, sample.recorded, sample.replayed) == ("reward", 1.0, -1.0)
    assert batch.field == "bytes"  # the event is the same; a sample in it is not


def test_a_recorded_event_that_nothing_leads_to_is_missing_and_one_that_was_dropped_is_new():
    records = records_of(lived((UNRELATED, GOOD, BAD)).log)
    stray = skip("c-0/1", "ambiguous", action("c-0/1", conversation="c-0"))
    world = lived()
    world.log.append(stray)
    extra = [replace(record, offset=99) for record in records_of(world.log)]
    assert kinds(replayed([*records, *extra])) == {("skips", "missing"): 1}
    second = [record for record in records if record.topic == "transitions"][1]
    assert ("transitions", "new") in kinds(replayed([record for record in records if record is not second]))


def test_what_the_processors_had_not_come_to_is_pending_and_no_difference():
    world = lived((GOOD, BAD))
    talk(world, "c-1", (GOOD,))
    for topic in (ACTIONS, NEXT_STATES, TRANSITIONS):
        asyncio.run(world.deliver(topic, 1_000))
    talk(world, "c-1b", (GOOD,))
    outcome = replayed(records_of(world.log))
    assert outcome.is_identical
    assert sum(kinds(outcome).values()) == kinds(outcome)["transitions", "pending"] + kinds(outcome).get(
        ("samples", "pending"), 0
    )


def test_a_transition_with_a_verdict_but_no_hint_yet_stays_so():
    records = records_of(lived((GOOD, UNRELATED)).log)
    last = [record for record in records if record.topic == "hints"][-1]
    left = [record for record in records if record is not last and record.topic != "skips"]  # its skip came of it
    assert replayed(left).is_identical


def test_a_slice_is_closed_over_whole_conversations_and_prompt_bases():
    world = lived((GOOD, BAD, GOOD), (HINTED,))
    chosen = replayed(records_of(world.log), Selection(conversations=frozenset({"c-0"})))
    assert chosen.is_identical
    assert chosen.counts["samples"].recorded == 3
    assert chosen.not_compared == {PARTLY_OUTSIDE: 1}  # the second batch holds a sample of the other conversation
    tail = replayed(records_of(world.log), Selection(since_ms=2_000, conversations=frozenset({"c-0"})))
    assert tail.counts["samples"].recorded == 3


def test_a_base_in_another_conversation_comes_along():
    world = lived((GOOD,))
    base = world.log.events(ACTIONS)[0]
    child = replace(
        action("child", conversation="other", messages=(user("more"),)),
        base_action_id=base.id,
        kept_messages=len(base.messages),
        kept_prompt_tokens=len(base.prompt_ids),
    )
    world.log.append(child)
    world.log.append(next_state("child", BAD, conversation_id="other"))
    asyncio.run(world.settle())
    outcome = replayed(records_of(world.log), Selection(conversations=frozenset({"other"})))
    assert outcome.is_identical
    assert outcome.counts["samples"].recorded == 2


def test_tenant_and_policy_choose_conversations():
    world = lived((GOOD, GOOD), tenant="acme", policy="assistant-of-acme")
    talk(world, "mine", (BAD, BAD))
    asyncio.run(world.settle())
    for selection in (Selection(tenant="acme"), Selection(policy="assistant-of-acme")):
        outcome = replayed(records_of(world.log), selection)
        assert outcome.is_identical
        assert outcome.counts["samples"].recorded == 2


@pytest.mark.parametrize(
    ("selection", "named"),
    [
        (Selection(conversations=frozenset({"c-0", "nowhere"})), "conversation nowhere"),
        (Selection(tenant="nobody"), "fits these options"),
    ],
)
def test_a_selection_that_fits_nothing_is_refused_with_a_sentence(selection, named):
    with pytest.raises(EmptySliceError, match=named):
        replayed(records_of(lived((GOOD,)).log), selection)


def test_an_empty_log_is_refused_with_a_sentence():
    with pytest.raises(EmptySliceError, match="holds no action yet"):
        replayed([])


def without(records, topic, event_id):
    return [record for record in records if not (record.topic == topic.name and record.event.id == event_id)]


@pytest.mark.parametrize(
    ("gone", "reason"),
    [((ACTIONS, "c-0/0"), NO_ACTION), ((NEXT_STATES, "n-c-0/0"), NO_NEXT_STATE)],
)
def test_what_cannot_be_derived_again_is_counted_and_named_not_compared(gone, reason):
    records = without(records_of(lived((GOOD,), (BAD, BAD)).log), *gone)
    outcome = replayed(records)
    assert outcome.is_identical
    assert outcome.not_compared == {reason: 4, PARTLY_OUTSIDE: 1}  # transition, verdict, hint, sample; and their batch


def test_turns_whose_prompt_base_is_gone_are_named():
    records = without(records_of(lived((GOOD, BAD)).log), ACTIONS, "c-0/0")
    outcome = replayed(records)
    assert outcome.is_identical
    assert outcome.not_compared[NO_BASE] == 4
    assert outcome.not_compared[NO_ACTION] == 4


def test_turns_that_were_forgotten_are_named():
    world = lived((None,), config=ProcessorsConfig(batch_size=2, max_open_age_s=60))
    world.wait(61)
    talk(world, "late", (GOOD, BAD))
    asyncio.run(world.settle())
    world.log.append(next_state("c-0/0", conversation_id="c-0"))
    asyncio.run(world.settle())
    outcome = replayed(records_of(world.log))
    assert outcome.is_identical
    assert outcome.not_compared == {FORGOTTEN: 2}  # its skip, and the transition that a better memory would have made


def test_a_branch_that_came_when_its_turn_may_have_been_forgotten_is_named():
    world = lived((GOOD, BAD), config=ProcessorsConfig(batch_size=2, max_open_age_s=60))
    world.wait(61)
    talk(world, "late", (UNRELATED,))
    asyncio.run(world.settle())
    world.log.append(next_state("c-0/0", BAD, id="second", conversation_id="c-0"))
    asyncio.run(world.settle())
    outcome = replayed(records_of(world.log), max_open_age_s=60)
    assert outcome.is_identical
    assert outcome.not_compared == {FORGOTTEN: 1, PARTLY_OUTSIDE: 1}  # the branch, which had been forgotten; a batch
    assert outcome.counts["samples"].identical == 2


def expired(records, *topics, before_offset=99):
    names = {topic.name for topic in topics}
    return [record for record in records if record.topic not in names or record.offset >= before_offset]


def test_samples_and_batches_that_have_left_the_log_are_counted_as_such():
    world = lived((GOOD, BAD), (HINTED, GOOD))
    world.log.append(checkpoint(world.log.events(BATCHES)[0]))  # kept for ever: it tells that they were there
    for left in (
        expired(records_of(world.log), SAMPLES, BATCHES),
        expired(records_of(world.log), SAMPLES, BATCHES, before_offset=1),
        expired(records_of(world.log), SAMPLES),
    ):
        outcome = replayed(left)
        assert outcome.is_identical
        assert outcome.not_compared[EXPIRED] > 0
        assert outcome.counts["verdicts"].identical == 4


def test_samples_that_were_never_written_are_not_taken_for_expired():
    world = lived((GOOD, UNRELATED), (HINTED, UNRELATED))
    outcome = replayed(expired(records_of(world.log), SAMPLES, BATCHES))
    assert kinds(outcome)["samples", "new"] == 2


def checkpoint(batch):
    return replace(
        next(event for event in EXAMPLES if isinstance(event, CheckpointPublished)),
        batch_ids=(batch.id,),
        sample_ids=batch.sample_ids,
        action_ids=batch.action_ids,
    )


def test_skips_of_the_trainer_are_not_the_processors():
    world = lived((GOOD, BAD))
    world.log.append(skip("c-0/0", "too_stale", world.log.events(SAMPLES)[0], stage="trainer"))
    outcome = replayed(records_of(world.log))
    assert outcome.is_identical
    assert outcome.not_compared == {NOT_OURS: 1}


def test_records_that_cannot_be_read_are_rejected_again_at_their_places():
    world = lived((GOOD, BAD))
    for topic in (ACTIONS, NEXT_STATES, FEEDBACK, TRANSITIONS, VERDICTS, HINTS, SAMPLES):
        world.log.append_raw(topic, b"c-0", b"nonsense")
    talk(world, "more", (GOOD, UNRELATED))
    asyncio.run(world.settle())
    outcome = replayed(records_of(world.log))
    assert outcome.is_identical
    assert outcome.counts["rejections"].identical == 7


def test_a_rejection_does_not_depend_on_which_topic_was_read_first():
    world = lived()
    taken = action("a-1", template_digest="of another model")  # so that its hint cannot be rendered
    world.log.append(next_state("a-1", HINTED))
    world.wait(5)
    world.log.append(taken)
    asyncio.run(world.deliver(ACTIONS, 1))  # a replay goes by time, and reads the next state first
    asyncio.run(world.settle())
    outcome = replayed(records_of(world.log))
    assert outcome.counts["rejections"].identical == 1
    assert outcome.is_identical


def test_an_end_that_a_real_next_state_supersedes_replays_alike():
    world = lived((None,))
    world.log.append(ended("c-0/0", conversation_id="c-0"))
    asyncio.run(world.settle())
    world.log.append(next_state("c-0/0", BAD, conversation_id="c-0"))
    asyncio.run(world.settle())
    outcome = replayed(records_of(world.log))
    assert outcome.is_identical
    assert outcome.counts["skips"].recorded == outcome.counts["samples"].recorded == 1


class Contrary(type(echoes().judge)):
    """The same judge, who has changed his mind about thanks."""

    async def judge(self, transitions):
        return [
            Judgement(score=0, votes=(0,)) if judgement.score == 1 else judgement
            for judgement in await super().judge(transitions)
        ]


def test_judged_afresh_by_the_same_judge_nothing_changes():
    outcome = replayed(records_of(lived(REPLIES, (BAD, GOOD, HINTED)).log), assessors=echoes())
    assert outcome.is_identical
    assert outcome.counts["batches"].identical == 3


def test_judged_afresh_what_changed_is_counted_by_topic_and_kind():
    assessors = Assessors(judge=Contrary(), extractor=echoes().extractor)
    outcome = replayed(records_of(lived((GOOD, BAD, HINTED, BAD)).log), assessors=assessors)
    assert kinds(outcome) == {
        ("verdicts", "other value"): 1,
        ("samples", "missing"): 1,
        ("skips", "new"): 1,
        ("batches", "missing"): 2,
        ("batches", "new"): 1,  # one sample less: the ranges have moved
    }
    verdict = outcome.differences[0]
    assert (verdict.field, verdict.recorded, verdict.replayed) == ("score", 1, 0)


def test_another_judge_of_the_same_opinion_only_has_other_ids():
    judge = echoes().judge
    judge.name = "another"
    outcome = replayed(
        records_of(lived((GOOD, BAD)).log), assessors=Assessors(judge=judge, extractor=echoes().extractor)
    )
    assert kinds(outcome) == {
        ("verdicts", "other value"): 2,  # its name is in them
        ("hints", "other id"): 2,
        ("samples", "other id"): 2,
        ("batches", "other id"): 1,
    }


def rated(*moments):
    """A world in which turn n of one conversation got these texts and thumbs (1, -1), each settled before the next."""
    world = lived()
    talk(world, "c-0", [None] * len(moments))
    for number, said in enumerate(moments):
        about = {"conversation_id": "c-0"}
        for place, one in enumerate(said):
            world.wait(1)
            event = (
                thumb(f"c-0/{number}", one, id=f"f-{number}-{place}", **about)
                if isinstance(one, int)
                else ended(f"c-0/{number}", **about)
                if one == "end"
                else next_state(f"c-0/{number}", one, **about)
            )
            world.log.append(event)
            asyncio.run(world.settle())
    return world


def test_a_thumb_that_came_too_late_comes_too_late_again_and_one_in_time_in_time():
    world = rated((1, BAD), (BAD, 1), (UNRELATED, -1), ("end", 1), (-1, "end"), ("end", -1, GOOD), (GOOD,))
    rewards = {sample.action_id: (sample.reward, sample.feedback_id) for sample in world.log.events(SAMPLES)}
    assert rewards == {
        "c-0/0": (1.0, "f-0-0"),
        "c-0/1": (-1.0, None),
        "c-0/2": (-1.0, "f-2-1"),
        "c-0/3": (1.0, "f-3-1"),
        "c-0/4": (-1.0, "f-4-0"),
        "c-0/5": (-1.0, "f-5-1"),
        "c-0/6": (1.0, None),
    }
    outcome = replayed(records_of(world.log))
    assert outcome.differences == ()
    assert outcome.counts["samples"].identical == 7


def test_judged_afresh_every_thumb_is_in_time():
    world = rated((1, BAD), (BAD, 1), ("end", -1, GOOD))
    derived = []
    replayed(records_of(world.log), assessors=echoes(), observe=derived.append)
    samples = {each.event.action_id: each.event for each in derived if each.topic == "samples"}
    assert {key: sample.reward for key, sample in samples.items()} == {"c-0/0": 1.0, "c-0/1": 1.0, "c-0/2": -1.0}
    assert all(sample.verdict_id for sample in samples.values())


def test_a_thumb_that_the_processors_had_not_come_to_is_pending():
    world = rated((UNRELATED,))
    world.log.append(thumb("c-0/0", conversation_id="c-0"))
    outcome = replayed(records_of(world.log))
    assert kinds(outcome) == {("samples", "pending"): 1}
    assert outcome.is_identical


def test_a_sample_whose_thumb_is_gone_is_named():
    records = without(records_of(rated((1, UNRELATED), (GOOD,)).log), FEEDBACK, "f-0-0")
    outcome = replayed(records)
    assert outcome.is_identical
    assert outcome.not_compared[NO_FEEDBACK] == 2  # the sample, and the skip that there would be without a thumb


def test_what_was_said_of_a_turn_that_had_been_forgotten_is_named():
    world = lived((UNRELATED,), config=ProcessorsConfig(batch_size=2, max_open_age_s=60))
    for name in ("late", "later"):
        world.wait(61)
        talk(world, name, (GOOD,))
        asyncio.run(world.settle())
        world.log.append(thumb("c-0/0", conversation_id="c-0", id=f"f-{name}"))
        asyncio.run(world.settle())
    assert [rejection.topic for rejection in world.log.events(REJECTIONS)] == ["feedback"]
    outcome = replayed(records_of(world.log), max_open_age_s=60)
    assert outcome.is_identical
    assert outcome.not_compared == {FORGOTTEN: 2}  # the rejection, and the sample that a better memory would have made


def test_a_conversation_is_chosen_by_when_it_was_rated():
    world = rated((1, GOOD))
    talk(world, "c-1", (GOOD,))
    asyncio.run(world.settle())
    assert replayed(records_of(world.log), Selection(since_ms=3_000)).counts["samples"].recorded == 1
