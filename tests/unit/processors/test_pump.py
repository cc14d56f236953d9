"""A stage gets what is delivered; what it is done with may be committed, and no more."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from processor_world import action

from processors import pump as pump_module
from processors.pump import MAX_WAITING, Pump
from streams.memory import MemoryLog


class Hoarder:
    """A stage that is done with everything at every third record."""

    def __init__(self):
        self.held, self.batches, self.num_resets = [], [], 0

    async def handle(self, records):
        self.batches.append(len(records))
        self.held += records
        done, self.held = (self.held, []) if len(self.held) >= 3 else ([], self.held)
        return done

    def reset(self):
        self.num_resets += 1
        self.held.clear()


@asynccontextmanager
async def pumping(stage, max_records=10):
    pump = Pump(stage, max_records)
    task = asyncio.create_task(pump.run())
    try:
        yield pump
    finally:
        task.cancel()
        await asyncio.wait([task])


def records(num_records):
    log = MemoryLog()
    return [log.append(action(f"a-{number}")) for number in range(num_records)]


def committable(pump):
    return list(pump.progress.committable().values())


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_nothing_may_be_committed_before_the_stage_is_done_with_it():
    stage = Hoarder()
    async with pumping(stage) as pump:
        first, second, third, fourth = records(4)
        await pump.put(first)
        await pump.put(second)
        await until(lambda: len(stage.held) == 2)
        assert committable(pump) == []
        await pump.put(third)
        await until(lambda: committable(pump))
        await pump.put(fourth)
        await until(lambda: len(stage.held) == 1)
        assert committable(pump) == [3]


async def test_a_stage_gets_what_is_there_at_once_but_never_more_than_it_can_take():
    stage = Hoarder()
    pump = Pump(stage, 4)
    for record in records(9):
        await pump.put(record)
    task = asyncio.create_task(pump.run())
    await until(lambda: sum(stage.batches) == 9)
    task.cancel()
    assert stage.batches == [4, 4, 1]


async def test_an_idle_stage_is_still_called(monkeypatch):
    monkeypatch.setattr(pump_module, "IDLE_S", 0.01)
    stage = Hoarder()
    async with pumping(stage):
        await until(lambda: stage.batches[:2] == [0, 0])


async def test_after_partitions_moved_the_stage_starts_afresh_from_what_is_delivered_then():
    stage = Hoarder()
    async with pumping(stage) as pump:
        all_records = records(4)
        await pump.put(all_records[0])
        await until(lambda: stage.held)
        await pump.put(all_records[1])
        pump.partitions_moved()
        for record in all_records[:3]:  # from the committed offset again
            await pump.put(record)
        await until(lambda: committable(pump))
        assert committable(pump) == [3]
    assert stage.num_resets == 1


async def test_what_a_stage_finishes_after_partitions_moved_is_not_committed():
    class Slow(Hoarder):
        """Takes its time over the first record, and holds what comes later."""

        def __init__(self):
            super().__init__()
            self.may_end = asyncio.Event()

        async def handle(self, records):
            self.held += records
            if len(self.batches) or not records:
                return []
            self.batches.append(len(records))
            await self.may_end.wait()
            return records

    stage, (record,) = Slow(), records(1)
    pump = Pump(stage, 10)
    task = asyncio.create_task(pump.run())
    await pump.put(record)
    await until(lambda: stage.held)
    pump.partitions_moved()
    await pump.put(record)  # from the committed offset again, and not yet done
    stage.may_end.set()
    await until(lambda: stage.num_resets and stage.held)
    assert committable(pump) == []
    assert not task.done()
    task.cancel()


async def test_a_consumer_that_is_faster_than_the_stage_waits():
    pump = Pump(Hoarder(), 1)
    many = records(MAX_WAITING + 1)
    for record in many[:-1]:
        await pump.put(record)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pump.put(many[-1]), 0.05)


async def test_a_stage_that_fails_for_good_stops_its_pump():
    class Broken(Hoarder):
        async def handle(self, records):
            raise PermissionError("topic 'skips' may not be written")

    with pytest.raises(PermissionError, match="skips"):
        await Pump(Broken(), 1).run()
