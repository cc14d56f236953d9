"""Explicit feedback on its way into a sample: in any order, at any moment, and where it comes too late."""

from dataclasses import replace
from itertools import permutations

import pytest
from processor_world import BAD, GOOD, HINTED, UNRELATED, UNSURE, World, action, ended, next_state, thumb

from processors.turns import Draft
from streams.topics import ACTIONS, FEEDBACK, HINTS, NEXT_STATES, REJECTIONS, SAMPLES, SKIPS, VERDICTS


async def lived(*moments):
    """What becomes of these events, each moment's settled before the next one's."""
    world = World()
    for events in moments:
        for event in events if isinstance(events, tuple) else (events,):
            world.log.append(event)
        await world.settle()
    return world


def samples(world):
    return list(world.log.by_id(SAMPLES).values())


def reasons(world):
    return [skip.reason for skip in world.log.by_id(SKIPS).values()]


@pytest.mark.parametrize("order", list(permutations((action(), next_state(text=BAD), thumb()))))
async def test_a_thumb_that_is_known_before_the_judge_has_answered_counts_in_any_order(order):
    world = World()
    for event in order:
        record = world.log.append(event)
        await world.turn_stage.handle([record])
        world.read[record.topic] = len(world.log.records[record.topic])
    await world.settle()
    (sample,) = samples(world)
    assert (sample.reward, sample.feedback_id) == (1.0, "f-a-1")
    assert [verdict.score for verdict in world.log.events(VERDICTS)] == [-1], "the log shows both"
    assert reasons(world) == []


async def test_a_thumb_after_the_sample_is_built_changes_nothing_and_stays_in_the_log():
    before = await lived((action(), next_state(text=BAD)))
    world = await lived((action(), next_state(text=BAD)), thumb())
    assert samples(world) == samples(before)
    assert len(world.log.events(FEEDBACK)) == 1
    assert world.log.events(REJECTIONS) == []


@pytest.mark.parametrize(("text", "reason"), [(UNRELATED, "zero_without_hint"), (UNSURE, "abstained_without_hint")])
async def test_a_thumb_makes_a_sample_of_a_turn_that_the_judge_could_not_reward(text, reason):
    in_time = await lived((action(), next_state(text=text), thumb(said=-1)))
    assert ([sample.reward for sample in samples(in_time)], reasons(in_time)) == ([-1.0], [])
    late = await lived((action(), next_state(text=text)), thumb(said=-1), next_state(id="n-again"))
    assert reasons(late) == [reason, "branch"]
    assert samples(late) == samples(in_time)


@pytest.mark.parametrize("order", list(permutations((action(), ended(), thumb()))))
async def test_a_turn_that_ended_is_a_sample_by_its_thumb_whichever_came_first(order):
    world = await lived(*order)
    (sample,) = samples(world)
    assert (sample.reward, sample.verdict_id, sample.hint_id) == (1.0, "", "")
    assert sample.transition_id == world.log.records["transitions"][0].event.id
    assert reasons(world) == ["no_next_state"]
    assert world.judge.asked == []


async def test_a_thumb_waits_for_what_follows_the_action():
    world = await lived(action(), thumb())
    assert samples(world) == []
    world.wait(world.config.next_state_timeout_s + 1)
    await world.turn_stage.end_overdue()
    await world.settle()
    assert [sample.reward for sample in samples(world)] == [1.0]


async def test_what_follows_a_turn_that_trained_by_its_thumb_makes_no_second_sample():
    world = await lived((action(), ended(), thumb()), next_state(text=HINTED))
    assert len(samples(world)) == 1
    assert world.judge.asked == []


async def test_a_reply_after_an_end_without_a_thumb_is_judged_and_a_thumb_then_outweighs_it():
    world = await lived((action(), ended()), (next_state(text=BAD), thumb()))
    (sample,) = samples(world)
    assert (sample.reward, sample.feedback_id) == (1.0, "f-a-1")
    assert sample.verdict_id == world.log.events(VERDICTS)[0].id


async def test_the_newest_thumb_that_is_known_counts():
    older, newer = thumb(id="f-1", time_ms=5_000), thumb(id="f-2", time_ms=6_000, said=-1)
    comment = thumb(id="f-3", time_ms=7_000, thumb=None, comment="Far too long.")
    for order in permutations((older, newer, comment)):
        (sample,) = samples(await lived((action(), *order, next_state(text=GOOD))))
        assert (sample.reward, sample.feedback_id) == (-1.0, "f-2")


async def test_a_rating_counts_at_the_ends_of_its_scale():
    stars = {"thumb": None, "worst_rating": 1.0, "best_rating": 5.0}
    for rating, reward in ((5.0, 1.0), (4.0, 1.0), (3.0, None), (2.0, -1.0), (1.0, -1.0)):
        world = await lived((action(), thumb(rating=rating, **stars), next_state(text=UNRELATED)))
        assert [sample.reward for sample in samples(world)] == ([] if reward is None else [reward])


async def test_a_thumb_of_another_tenant_counts_for_nothing_whichever_comes_first():
    foreign, own = thumb(id="f-foreign", tenant="other", time_ms=9_000, said=-1), thumb()
    for order in permutations((action(), foreign, own)):
        (sample,) = samples(await lived(order, next_state(text=UNRELATED)))
        assert sample.feedback_id == own.id
    assert samples(await lived((action(), foreign, next_state(text=UNRELATED)))) == []


async def test_a_thumb_trains_nothing_that_was_refused():
    for taken in (action(turn_type="side"), action(finish_reason="aborted"), action(ambiguous=True)):
        world = await lived(thumb(), (taken, ended()), next_state())
        assert samples(world) == []


async def test_a_thumb_is_no_outcome():
    world = await lived((action(episode_id="e"), thumb(), next_state()), ended())
    assert samples(world) == []


@pytest.mark.parametrize("given", [thumb(), thumb(thumb=None, comment="Nice.")])
async def test_feedback_on_an_action_that_never_came_is_rejected_when_it_is_forgotten(given):
    world = await lived(given)
    world.wait(world.config.max_open_age_s + 1)
    await world.turn_stage.handle([world.log.append(action("new", conversation="c-9"))])
    (rejection,) = world.log.events(REJECTIONS)
    assert (rejection.topic, rejection.offset) == ("feedback", 0)
    assert "a-1 was never recorded, or was forgotten before" in rejection.reason
    assert "a-1" not in world.turns.rows


async def test_a_turn_without_reward_is_forgotten_without_another_skip():
    world = await lived((action(), next_state(text=UNRELATED)))
    world.wait(world.config.max_open_age_s + 1)
    await world.turn_stage.handle([world.log.append(action("new", conversation="c-9"))])
    assert reasons(world) == ["zero_without_hint"]


class DyingError(Exception):
    """The process is gone."""


@pytest.mark.parametrize("followed", [next_state(text=GOOD), ended()])
async def test_after_a_crash_a_thumb_that_has_come_meanwhile_makes_no_second_sample(followed):
    world = await lived(action())
    first = thumb(id="f-first", said=-1)
    if followed.kind == "ended":
        world.log.append(first)
    world.log.append(followed)
    save, written = world.open_turns.save, len(world.log.records["samples"])

    async def die_after_the_sample(draft):
        if len(world.log.records["samples"]) > written:
            raise DyingError
        await save(draft)

    world.open_turns.save = die_after_the_sample
    with pytest.raises(DyingError):
        await world.settle()
    (sample,) = samples(world)
    world.restart()
    world.read.clear()
    newer = world.log.append(thumb(time_ms=9_000))
    await world.turn_stage.handle([newer])  # before anything that was there earlier
    await world.settle()
    assert samples(world) == [sample]


async def test_what_was_decided_before_a_crash_waits_for_its_base():
    world = await lived((action(), next_state(text=GOOD)))
    (sample,) = samples(world)
    verdict, hint = world.log.events(VERDICTS)[0], world.log.records["hints"][0].event
    child = replace(
        action("a-2"), base_action_id="a-1", kept_messages=1, kept_prompt_tokens=4, messages=(), prompt_ids=()
    )
    again = World()
    about = {"action_id": "a-2", "transition_id": "t-2"}
    records = [again.log.append(each) for each in (child, replace(verdict, **about), replace(hint, **about))]
    await again.turn_stage.handle(records)
    row = again.open_turns.turn("a-2")
    assert row.missing_base_id == "a-1"
    decided = replace(row, decided=True)
    await again.open_turns.save(Draft(again.open_turns, turns={"a-2": decided}))
    await again.turn_stage.handle([again.log.append(thumb("a-2"))])
    assert samples(again) == []
    await again.turn_stage.handle([again.log.append(action())])
    (built,) = samples(again)
    assert (built.feedback_id, built.reward) == (None, sample.reward)


async def test_every_topic_of_a_turn_is_one_that_its_stage_reads():
    world = await lived((action(), next_state(), thumb()))
    for topic in (ACTIONS, NEXT_STATES, FEEDBACK, VERDICTS, HINTS):
        assert world.stage_of(topic) is world.turn_stage
