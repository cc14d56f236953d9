"""Laws of the pipeline under clocks that jump: the producers' and the processors', either way and by any length.

`World.steady` goes on by what was waited and by nothing else; `World.clock` is that and whatever somebody set it to.
"""

import asyncio
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from processor_world import World
from test_processors_property import DERIVED, READ, interleaved

from processors.config import ProcessorsConfig
from streams.topics import BATCHES, REJECTIONS, SAMPLES, SKIPS

HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS
START_MS = 1_800_000_000_000
JUMPS_MS = st.sampled_from([0, -HOUR_MS, HOUR_MS, -10 * YEAR_MS, 10 * YEAR_MS, -START_MS - HOUR_MS, 10_000 * YEAR_MS])
END_OF_TIME_MS, START_OF_TIME_MS = 253_402_300_799_999, -62_135_596_800_000
EVENT_TIMES_MS = st.sampled_from([START_MS, -HOUR_MS, START_MS + 10 * YEAR_MS, END_OF_TIME_MS, START_OF_TIME_MS])

RUNNING = st.one_of(
    st.tuples(st.just("deliver"), st.tuples(st.sampled_from(READ), st.integers(1, 3))),
    st.tuples(st.just("ours"), JUMPS_MS),
    st.tuples(st.just("theirs"), JUMPS_MS),
    st.tuples(st.just("record"), st.integers(1, 3)),
    st.tuples(st.just("sweep"), st.just(None)),
    st.tuples(st.just("wait"), st.just(600.0)),
)
CRASHING = st.one_of(RUNNING, st.tuples(st.just("restart"), st.just(None)))


class JumpyWorld(World):
    """Processors and producers each have a wall clock; `ours_ms` and `theirs_ms` say how wrong they are."""

    def __init__(self, events):
        self.ours_ms = self.theirs_ms = 0
        super().__init__(ProcessorsConfig(batch_size=2))
        self.log._clock = lambda: self.now_ms + self.theirs_ms
        self.waiting = list(events)

    def clock(self):
        return self.now_ms + self.ours_ms

    async def live(self, steps):
        """What happens, one after another; then all that was to be recorded is, and is read."""
        for step, value in steps:
            await getattr(self, f"_{step}")(value)
        await self._record(len(self.waiting))
        await self.settle()

    async def run_on(self):
        """The time after which nothing waits any more, and not a moment longer."""
        self.wait(self.config.next_state_timeout_s + 0.001)
        await self.turn_stage.end_overdue()
        await self.settle()
        self.wait(self.config.seal_after_s + 0.001)
        await self.pack_stage.handle([])

    async def _deliver(self, what):
        await self.deliver(*what)
        await self.pack_stage.handle([])

    async def _ours(self, jump_ms):
        self.ours_ms = jump_ms

    async def _theirs(self, jump_ms):
        self.theirs_ms = jump_ms

    async def _record(self, num_events):
        for event in self.waiting[:num_events]:
            self.log.append(event)
        del self.waiting[:num_events]

    async def _sweep(self, _):
        await self.turn_stage.end_overdue()

    async def _wait(self, duration_s):
        self.wait(duration_s)

    async def _restart(self, _):
        """A crash before anything was committed: all is read again."""
        self.restart()
        self.read.clear()
        await self.turn_stage.handle([])


def assert_each_sample_is_in_one_batch(world):
    packed = Counter(sample_id for batch in world.log.by_id(BATCHES).values() for sample_id in batch.sample_ids)
    assert packed == Counter(world.log.by_id(SAMPLES).keys())


@settings(max_examples=100, deadline=None)
@given(interleaved(), st.lists(RUNNING, max_size=40))
def test_clocks_that_jump_change_nothing_that_running_processors_derive(history, steps):
    world, calm = JumpyWorld(history[1]), JumpyWorld(history[1])

    async def live():
        await world.live(steps)
        await calm.live([(step, value) for step, value in steps if step not in {"ours", "theirs"}])
        for each in (world, calm):
            await each.run_on()

    asyncio.run(live())
    for topic in DERIVED:
        assert world.log.by_id(topic) == calm.log.by_id(topic)
    assert world.log.events(REJECTIONS) == []
    assert_each_sample_is_in_one_batch(world)


@settings(max_examples=100, deadline=None)
@given(interleaved(), st.data(), st.lists(CRASHING, max_size=40), JUMPS_MS)
def test_each_turn_is_one_sample_or_skip_in_time_whatever_clocks_say_also_across_restarts(
    history, data, steps, last_jump_ms
):
    when = {event.id: data.draw(EVENT_TIMES_MS) for event in history[1]}  # a record that repeats says the same again
    world = JumpyWorld([replace(event, time_ms=when[event.id]) for event in history[1]])

    async def live():
        await world.live(steps)
        world.ours_ms = last_jump_ms
        await world.run_on()

    asyncio.run(live())
    trained = [sample.action_id for sample in world.log.by_id(SAMPLES).values()]
    skipped = {skip.action_id for skip in world.log.by_id(SKIPS).values() if skip.reason != "branch"}
    assert len(trained) == len(set(trained))
    assert set(trained) | skipped == {taken.id for chat in history[0] for taken in chat.actions}
    assert_each_sample_is_in_one_batch(world)
