"""A clock that is set, ours or a producer's, neither loses a turn nor makes one wait. Laws: test_clock_property.py."""

from dataclasses import replace

import pytest
from processor_world import World, action, next_state, settled

from processors.config import ProcessorsConfig
from processors.turn_stage import ended
from schemas.errors import RejectedError
from serving import reload_events
from streams.topics import ACTIONS, BATCHES, HINTS, NEXT_STATES, REJECTIONS, SAMPLES, SKIPS, VERDICTS
from trainer.publish import batch_rejected

HOUR_MS = 3_600_000
TEN_YEARS_MS = 87_600 * HOUR_MS
END_OF_TIME_MS = 253_402_300_799_999


async def provoke(world):
    """One more record, at which old turns are forgotten."""
    await world.turn_stage.handle([world.log.append(action("new", turn_type="side", conversation="c-9"))])


def forgotten(world):
    return [skip.action_id for skip in world.log.events(SKIPS) if skip.reason != "side_turn"]


@pytest.mark.parametrize("jump_ms", [-TEN_YEARS_MS, -HOUR_MS, HOUR_MS, TEN_YEARS_MS])
async def test_a_turn_waits_its_timeout_however_the_clock_is_set_meanwhile(jump_ms):
    world = await settled(action())
    world.now_ms += jump_ms
    world.wait(world.config.next_state_timeout_s)
    await world.turn_stage.end_overdue()
    assert world.log.events(NEXT_STATES) == []
    world.wait(0.001)
    await world.turn_stage.end_overdue()
    assert [end.action_id for end in world.log.events(NEXT_STATES)] == ["a-1"]


async def test_a_clock_that_is_ahead_for_a_moment_forgets_nothing_also_when_partitions_move():
    world = await settled(action())
    world.now_ms += TEN_YEARS_MS
    await provoke(world)
    world.turn_stage.reset()
    await provoke(world)
    world.now_ms -= TEN_YEARS_MS
    world.log.append(next_state())
    await world.settle()
    assert forgotten(world) == []
    assert len(world.log.events(SAMPLES)) == 1


@pytest.mark.parametrize("jump_ms", [-1_800_000_000_000, -TEN_YEARS_MS, TEN_YEARS_MS])
async def test_a_turn_of_a_producer_whose_clock_is_wrong_waits_like_any_other(jump_ms):
    world = World()
    world.now_ms += jump_ms
    record = world.log.append(action())
    world.now_ms -= jump_ms
    await world.turn_stage.handle([record])
    assert forgotten(world) == []
    world.wait(world.config.max_open_age_s + 1)
    await provoke(world)
    assert forgotten(world) == ["a-1"]


async def test_a_turn_behind_one_of_the_future_is_forgotten_in_its_time():
    world = await settled(action("a-future"))
    world.now_ms -= TEN_YEARS_MS
    world.restart()
    await world.turn_stage.handle([world.log.append(action(conversation="c-2"))])
    world.wait(world.config.max_open_age_s + 1)
    await provoke(world)
    assert forgotten(world) == ["a-future", "a-1"]


async def test_a_restart_makes_no_turn_young():
    world = await settled(action())
    world.wait(world.config.next_state_timeout_s - 1)
    world.restart()
    await world.turn_stage.handle([])
    world.wait(1.5)
    await world.turn_stage.end_overdue()
    assert [end.action_id for end in world.log.events(NEXT_STATES)] == ["a-1"]


async def test_a_turn_of_the_last_minute_of_all_time_ends_in_that_minute():
    world = await settled(action(time_ms=END_OF_TIME_MS - 60_000))
    world.wait(world.config.next_state_timeout_s + 1)
    await world.turn_stage.end_overdue()
    await world.settle()
    assert [end.time_ms for end in world.log.events(NEXT_STATES)] == [END_OF_TIME_MS]
    assert forgotten(world) == ["a-1"]


def test_the_time_of_an_end_is_that_of_its_action_and_the_timeout():
    assert ended(action(time_ms=1_000), 500).time_ms == 1_500


@pytest.mark.parametrize("timestamp_ms", [END_OF_TIME_MS + 1, 2**63 - 1])
async def test_a_record_of_a_time_that_no_calendar_has_is_rejected_at_the_end_of_all_time(timestamp_ms):
    world = World()
    bad = replace(world.log.append_raw(ACTIONS, b"c-1", b"{}"), timestamp_ms=timestamp_ms)
    await world.turn_stage.handle([bad])
    assert [rejection.time_ms for rejection in world.log.events(REJECTIONS)] == [END_OF_TIME_MS]


@pytest.mark.parametrize("reject", [batch_rejected, reload_events.rejection])
def test_whoever_rejects_such_a_record_can_write_that(reject):
    bad = replace(World().log.append_raw(BATCHES, b"c-1", b"{}"), timestamp_ms=END_OF_TIME_MS + 1)
    assert reject(bad, RejectedError("no"), "assistant").time_ms == END_OF_TIME_MS


@pytest.mark.parametrize("jump_ms", [-TEN_YEARS_MS, -HOUR_MS, HOUR_MS, TEN_YEARS_MS])
async def test_a_batch_waits_its_time_however_the_clock_is_set_meanwhile(jump_ms):
    world = await settled(action(), next_state(), config=ProcessorsConfig(seal_after_s=60.0))
    world.now_ms += jump_ms
    world.wait(60.0)
    assert await world.pack_stage.handle([]) == []
    world.wait(0.001)
    assert len(await world.pack_stage.handle([])) == 1
    assert len(world.log.events(BATCHES)) == 1


async def test_a_sample_that_is_read_again_after_a_crash_has_waited_before():
    world = await settled(action(), next_state(), config=ProcessorsConfig(seal_after_s=60.0))
    world.wait(59.0)
    world.restart()
    world.read["samples"] = 0
    await world.settle()
    world.wait(1.5)
    assert len(await world.pack_stage.handle([])) == 1


async def test_a_clock_that_is_ahead_at_a_start_makes_nobody_judge_again():
    world = await settled(action(), next_state())
    written = world.log.events(VERDICTS), world.log.events(HINTS)
    world.now_ms += TEN_YEARS_MS
    world.restart()
    world.read["transitions"] = 0
    await world.settle()
    assert len(world.judge.asked) == 1
    assert (world.log.events(VERDICTS), world.log.events(HINTS)) == written
