"""Turns from first record to sample or skip, in any order, across crashes, and within bounds."""

from dataclasses import replace

import pytest
from processor_world import (
    BAD,
    GOOD,
    HINTED,
    UNRELATED,
    LetterRenderer,
    World,
    action,
    ended,
    next_state,
    resolved,
    settled,
    user,
)

from processors.config import ProcessorsConfig
from processors.ports import Judgement
from schemas.events import Message
from streams.topics import ACTIONS, MAX_RECORD_BYTES, NEXT_STATES, REJECTIONS, SAMPLES, SKIPS, TRANSITIONS, VERDICTS


async def settled_in_turn(*events):
    """Each event is read, with all that follows from it, before the next is there."""
    world = World()
    for event in events:
        world.log.append(event)
        await world.settle()
    return world


def reasons(world):
    return [skip.reason for skip in world.log.events(SKIPS)]


@pytest.mark.parametrize("events", [(action(), next_state()), (next_state(), action())])
async def test_action_and_next_state_join_in_either_order(events):
    world = await settled_in_turn(*events)
    (sample,) = world.log.events(SAMPLES)
    assert (sample.action_id, sample.reward) == ("a-1", 1.0)
    assert reasons(world) == []


async def test_a_verdict_that_comes_before_its_action_is_held():
    before = await settled(action(), next_state())
    verdict, hint = before.log.events(VERDICTS)[0], before.log.records["hints"][0].event
    world = await settled(verdict, hint, next_state())
    assert world.log.events(SAMPLES) == []
    world.log.append(action())
    await world.settle()
    assert world.log.by_id(SAMPLES) == before.log.by_id(SAMPLES)


async def test_records_that_come_twice_change_nothing():
    once = await settled(action(), next_state(text=HINTED))
    twice = await settled(action(), action(), next_state(text=HINTED), next_state(text=HINTED))
    assert twice.log.events(TRANSITIONS) == once.log.events(TRANSITIONS)
    assert twice.log.events(SAMPLES) == once.log.events(SAMPLES)


async def test_the_first_record_of_an_action_wins():
    world = await settled(action(), action(reply="something else"), next_state())
    (sample,) = world.log.events(SAMPLES)
    assert "".join(map(chr, sample.response_ids)) == "hi"


async def test_a_turn_that_was_trained_on_is_not_built_again_for_a_second_verdict():
    world = await settled(action(), next_state())
    world.log.append(replace(world.log.events(VERDICTS)[0], id="v-other", score=-1))
    await world.settle()
    assert len(world.log.events(SAMPLES)) == 1


async def test_an_action_that_cannot_train_is_skipped_once_and_never_judged():
    world = await settled(next_state(), action(turn_type="side"), next_state(id="n-2"))
    assert sorted(reasons(world)) == ["branch", "side_turn"]
    assert world.log.events(TRANSITIONS) == []
    assert world.judge.asked == []


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_another_tenant_has_no_say_in_a_turn_whenever_it_comes(place):
    foreign = next_state(id="n-other", tenant="other", text=BAD)
    events = [action(), next_state()]
    events.insert(place, foreign)
    world = await settled_in_turn(*events)
    (rejection,) = world.log.events(REJECTIONS)
    assert "not its tenant's" in rejection.reason
    assert (rejection.topic, rejection.tenant) == (NEXT_STATES.name, "other")
    (sample,) = world.log.events(SAMPLES)
    assert (sample.reward, reasons(world)) == (1.0, [])


async def test_what_came_before_its_action_is_the_same_as_if_it_had_come_after():
    said = [next_state(), next_state(id="n-2", text=BAD), next_state()]
    early, late = await settled_in_turn(*said, action()), await settled_in_turn(action(), *said)
    for topic in (TRANSITIONS, SKIPS, SAMPLES):
        assert early.log.by_id(topic) == late.log.by_id(topic)
    assert reasons(early) == ["branch"]


async def test_a_next_state_read_twice_before_its_action_is_rejected_at_its_own_place():
    world = World()
    for _ in range(2):
        world.log.append(next_state(tenant="other"))
        await world.settle()
        world.restart()
    world.log.append(action())
    await world.settle()
    (rejection,) = world.log.events(REJECTIONS)
    assert (rejection.topic, rejection.offset) == (NEXT_STATES.name, 0)


async def test_what_waits_for_an_action_that_never_comes_is_bounded_and_each_record_is_accounted_for():
    words = "x" * 5_000_000
    sent = [next_state(id=f"n-{number}", text=words) for number in range(5)]
    sent += [next_state(id=f"m-{number}", tenant=f"tenant-{number}", text=words) for number in range(5)]
    sent += [next_state(id=f"s-{number}", tenant=f"small-{number}") for number in range(9)]
    world = await settled_in_turn(*sent)
    assert world.open_turns.num_bytes < MAX_RECORD_BYTES + 10_000
    assert reasons(world) == ["branch"] * 4
    refused = [rejection.reason for rejection in world.log.events(REJECTIONS)]
    assert len(refused) == 3 + 4
    assert all("for which too much waits already" in reason for reason in refused)
    world.wait(world.config.max_open_age_s + 1)
    world.log.append(action(id="later"))
    await world.settle()
    rejected = {rejection.offset for rejection in world.log.events(REJECTIONS)}
    assert len(rejected) == len(sent) - 4


async def test_an_action_under_the_id_of_another_tenants_is_rejected_and_changes_nothing_of_it():
    world = await settled_in_turn(action(), action(tenant="other", reply="mine"), next_state())
    (rejection,) = world.log.events(REJECTIONS)
    assert rejection.reason == "Action a-1 of tenant 'other' has the id of another tenant's; ids are to be unique."
    (sample,) = world.log.events(SAMPLES)
    assert sample.tenant == "default"


async def test_ended_is_a_skip_and_a_later_reply_still_makes_a_sample():
    world = await settled(action(), ended())
    assert reasons(world) == ["no_next_state"]
    assert world.judge.asked == []
    world.log.append(next_state())
    await world.settle()
    assert [sample.action_id for sample in world.log.events(SAMPLES)] == ["a-1"]


async def test_ambiguous_turns_train_only_where_the_settings_say_so():
    events = (action(ambiguous=True), next_state(ambiguous=True))
    assert "ambiguous" in reasons(await settled(*events))
    trusting = await settled(*events, config=ProcessorsConfig(ambiguous_trains=True))
    assert len(trusting.log.events(SAMPLES)) == 1


def system(text):
    return Message(role="system", content=text)


def two_turns():
    first = action(messages=(user("hello"),))
    prompt = resolved(first, (user("hello"),))
    messages = (user("hello"), first.reply, user("and now?"))
    return first, action("a-2", messages=messages, reply="later", base=prompt)


async def test_an_action_is_held_until_its_base_comes():
    first, second = two_turns()
    assert second.kept_prompt_tokens > 0
    world = await settled(second, next_state("a-2"))
    assert world.log.events(TRANSITIONS) == []
    world.log.append(first)
    await world.settle()
    (transition,) = world.log.events(TRANSITIONS)
    assert transition.context == (user("and now?"),)
    (sample,) = world.log.events(SAMPLES)
    assert "".join(map(chr, sample.prompt_ids)) == "user:hello\nassistant:hi\nuser:and now?\n"


async def test_a_conversation_that_was_kept_behind_a_new_beginning_is_judged_and_trained_whole():
    first = action(messages=(system("It is 9."), user("How are things in the north of the country?")))
    prompt = resolved(first, first.messages)
    messages = (system("It is 10."), first.messages[1], first.reply, user("and now?"))
    second = action("a-2", messages=messages, reply="later", base=prompt)
    assert second.messages == (messages[0], messages[3])
    assert second.prompt_tail is not None
    world = await settled(first, second, next_state("a-2"))
    (transition,) = world.log.events(TRANSITIONS)
    assert transition.context == (user("and now?"),)
    (sample,) = world.log.events(SAMPLES)
    assert sample.prompt_ids == LetterRenderer().render(messages)


async def test_a_base_that_was_skipped_is_still_a_base():
    first, second = two_turns()
    world = await settled(replace(first, finish_reason="aborted"), second, next_state("a-2"))
    assert reasons(world) == ["aborted"]
    assert len(world.log.events(SAMPLES)) == 1


async def test_an_action_that_keeps_more_than_its_base_has_is_rejected_at_its_own_place():
    first, second = two_turns()
    world = await settled(first, replace(second, kept_prompt_tokens=999), next_state("a-2"))
    (rejection,) = world.log.events(REJECTIONS)
    (place,) = [record for record in world.log.records["actions"] if record.event.id == "a-2"]
    assert (rejection.topic, rejection.partition, rejection.offset) == ("actions", place.partition, place.offset)
    assert "keeps more" in rejection.reason


async def test_an_action_with_impossible_token_ids_is_rejected_and_nothing_is_built_on_it():
    first, second = two_turns()
    poisoned = replace(first, response_ids=(0x110000, 1))
    world = await settled(poisoned, second, next_state("a-2"), next_state("a-1"))
    assert [rejection.error for rejection in world.log.events(REJECTIONS)] == ["TokenMismatchError"]
    assert [(skip.action_id, skip.reason) for skip in world.log.events(SKIPS)] == [("a-1", "rejected")]
    assert world.log.events(SAMPLES) == []


async def test_a_record_that_is_no_event_is_rejected_and_the_stream_goes_on():
    world = World()
    raw = world.log.append_raw(ACTIONS, b"c-1", b'{"oh": no}', [("ce_type", b"nextstate.action.taken.v1")])
    world.log.append_raw(NEXT_STATES, b"c-1", b"")
    world.log.append(action())
    world.log.append(next_state())
    await world.settle()
    rejections = world.log.events(REJECTIONS)
    assert [(each.topic, each.partition, each.offset) for each in rejections] == [
        ("actions", raw.partition, raw.offset),
        ("next-states", raw.partition, 0),
    ]
    assert rejections[0].value_preview == '{"oh": no}'
    assert len(world.log.events(SAMPLES)) == 1


async def test_a_fault_of_ours_is_a_rejection_too(monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("processors.advance.observe", fail)
    world = await settled(action(), next_state())
    (rejection,) = world.log.events(REJECTIONS)
    assert (rejection.topic, rejection.error) == ("next-states", "ZeroDivisionError")


async def test_turns_of_an_episode_stay_open_for_their_outcome():
    world = await settled(action(episode_id="e-1"), next_state(episode_id="e-1"))
    assert len(world.log.events(VERDICTS)) == 1
    assert world.log.events(SAMPLES) == []
    assert reasons(world) == []


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((action(),), ["no_next_state"]),
        ((two_turns()[1], next_state("a-2")), ["base_missing"]),
        ((action(), next_state()), []),
        ((action(turn_type="side"),), ["side_turn"]),
        ((action(), ended()), ["no_next_state"]),
        ((action(episode_id="e"), next_state(episode_id="e")), ["no_next_state"]),
    ],
)
async def test_what_is_forgotten_for_its_age_is_accounted_for_once(events, expected):
    world = await settled(*events)
    world.wait(world.config.max_open_age_s + 1)
    await provoke(world)
    await provoke(world)
    assert reasons(world) == expected
    assert not {"a-1", "a-2"} & set(world.turns.rows)
    assert not {"a-1", "a-2"} & set(world.actions.rows)


async def provoke(world):
    """One more record, at which old turns are forgotten."""
    await world.turn_stage.handle([world.log.append(action("new", turn_type="side", conversation="c-9"))])
    world.log.records["skips"] = [each for each in world.log.records["skips"] if each.event.action_id != "new"]


async def test_a_turn_whose_judge_never_answers_is_forgotten_as_abstained():
    world = World()
    await world.turn_stage.handle([world.log.append(action()), world.log.append(next_state())])
    world.wait(world.config.max_open_age_s + 1)
    await provoke(world)
    assert reasons(world) == ["abstained_without_hint"]


async def test_a_next_state_of_an_action_that_never_came_is_rejected_when_it_is_forgotten():
    world = await settled(next_state())
    world.wait(world.config.max_open_age_s + 1)
    await provoke(world)
    (rejection,) = world.log.events(REJECTIONS)
    assert (rejection.topic, rejection.offset) == ("next-states", 0)
    assert "a-1 was never recorded, or was forgotten before" in rejection.reason


async def test_a_verdict_that_comes_after_its_turn_was_forgotten_is_no_news():
    judged = await settled(action(), next_state())
    verdict, hint = judged.log.events(VERDICTS)[0], judged.log.records["hints"][0].event
    world = World()
    await world.turn_stage.handle([world.log.append(action()), world.log.append(next_state())])
    for late in ((), (verdict, hint)):
        await world.turn_stage.handle([world.log.append(event) for event in late])
        world.wait(world.config.max_open_age_s + 1)
        await provoke(world)
    assert reasons(world) == ["abstained_without_hint"]
    assert world.log.events(REJECTIONS) == []


async def test_open_turns_are_bounded_in_bytes_and_the_oldest_go_first():
    world = await settled(*(action(f"a-{n}", conversation=f"c-{n}") for n in range(20)))
    limit = world.open_turns.num_bytes // 2
    world.turn_stage._config = ProcessorsConfig(max_open_bytes=limit)
    await provoke(world)
    assert world.open_turns.num_bytes <= limit
    gone = {skip.action_id for skip in world.log.events(SKIPS)}
    assert gone == {f"a-{n}" for n in range(len(gone))}
    assert 8 <= len(gone) <= 12


async def test_what_is_counted_as_open_is_what_the_tables_hold():
    world = await settled(action(), next_state(), *two_turns()[1:], next_state("a-2", UNRELATED))
    held = sum(len(value) for table in (world.actions, world.turns) for value in table.rows.values())
    assert world.open_turns.num_bytes == held
    world.restart()
    world.open_turns.load()
    assert world.open_turns.num_bytes == held


async def test_the_sweeper_ends_what_has_waited_too_long_and_only_that():
    world = await settled(action(), action("a-2"), next_state("a-2"), action("a-3", turn_type="side"))
    await world.turn_stage.end_overdue()
    assert len(world.log.events(NEXT_STATES)) == 1
    world.wait(world.config.next_state_timeout_s + 1)
    await world.turn_stage.end_overdue()
    await world.turn_stage.end_overdue()
    (end,) = world.log.events(NEXT_STATES)[1:]
    assert (end.action_id, end.kind, end.ended_reason) == ("a-1", "ended", "timeout")
    await world.settle()
    assert ("a-1", "no_next_state") in [(skip.action_id, skip.reason) for skip in world.log.events(SKIPS)]


async def test_two_sweepers_end_a_turn_under_one_id():
    world = await settled(action())
    world.wait(world.config.next_state_timeout_s + 1)
    await world.turn_stage.end_overdue()
    world.restart()
    await world.turn_stage.handle([])
    await world.turn_stage.end_overdue()
    assert len(world.log.events(NEXT_STATES)) == 2
    assert len(world.log.by_id(NEXT_STATES)) == 1


async def test_a_restart_goes_on_from_the_tables():
    world = World()
    world.log.append(action())
    await world.settle()
    world.restart()
    world.log.append(next_state(text=GOOD))
    await world.settle()
    assert len(world.log.events(SAMPLES)) == 1


async def test_a_verdict_that_was_recorded_is_not_asked_for_again_after_a_crash():
    world = await settled(action(), next_state())
    (verdict,) = world.log.events(VERDICTS)
    world.restart()

    async def change_of_mind(transitions):
        return [Judgement(score=-1, votes=(-1,))] * len(transitions)

    world.judge.judge = change_of_mind
    world.read["transitions"] = 0
    await world.settle()
    assert world.log.events(VERDICTS) == [verdict]


async def test_a_hint_that_was_not_recorded_is_extracted_from_the_recorded_verdict():
    whole = await settled(action(), next_state(text=HINTED))
    (hint,) = [record.event for record in whole.log.records["hints"]]
    world = await settled(action(), next_state(text=HINTED))
    world.log.records["hints"].clear()
    world.restart()
    world.read.update({"transitions": 0, "hints": 0})
    world.judge.asked.clear()
    await world.settle()
    assert [record.event for record in world.log.records["hints"]] == [hint]
    assert world.judge.asked == []
