"""Laws of replay: whatever happened while a log was recorded, replaying it gives it again; so does replaying that."""

import asyncio

from hypothesis import given, settings
from replay_world import records_of, replayed
from test_processors_property import CRASHES, RATED_TURN, SCHEDULE, CrashingWorld, interleaved

from streams.topics import ACTIONS, FEEDBACK, NEXT_STATES


def recorded(history, schedule, crash_points):
    world = CrashingWorld()
    for event in history[1]:
        world.record(event)
    asyncio.run(world.survive(schedule, crash_points))
    return records_of(world.log)


@settings(max_examples=40, deadline=None)
@given(interleaved(), SCHEDULE, CRASHES)
def test_order_repeats_and_crashes_do_not_show_in_a_replay(history, schedule, crash_points):
    outcome = replayed(recorded(history, schedule, crash_points))
    assert outcome.differences == ()
    assert outcome.not_compared == {}


@settings(max_examples=80, deadline=None)
@given(interleaved(RATED_TURN), SCHEDULE, CRASHES)
def test_which_thumb_came_in_time_is_replayed_as_it_was_recorded(history, schedule, crash_points):
    outcome = replayed(recorded(history, schedule, crash_points))
    assert outcome.differences == ()
    assert outcome.not_compared == {}


@settings(max_examples=20, deadline=None)
@given(interleaved(RATED_TURN), SCHEDULE, CRASHES)
def test_the_replay_of_a_replay_is_identical(history, schedule, crash_points):
    records = recorded(history, schedule, crash_points)
    inputs = [record for record in records if record.topic in {ACTIONS.name, NEXT_STATES.name, FEEDBACK.name}]
    derived = []
    replayed(records, observe=derived.append)
    again = []
    outcome = replayed([*inputs, *derived], observe=again.append)
    assert outcome.differences == ()
    assert again == derived
