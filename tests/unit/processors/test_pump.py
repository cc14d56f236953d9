"""Records are acknowledged when their stage is done with them, and no sooner."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from processor_world import MemoryLog, action

from processors import pump as pump_module
from processors.pump import MAX_WAITING, Delivery, Pump


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


def deliveries(num_records, acknowledged):
    log = MemoryLog()
    for number in range(num_records):
        record = log.append(action(f"a-{number}"))
        yield Delivery(record=record, acknowledge=lambda offset=record.offset: acknowledged.append(offset))


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_nothing_is_acknowledged_before_the_stage_is_done_with_it():
    acknowledged, stage = [], Hoarder()
    async with pumping(stage) as pump:
        first, second, third, fourth = deliveries(4, acknowledged)
        await pump.put(first)
        await pump.put(second)
        await until(lambda: len(stage.held) == 2)
        assert acknowledged == []
        await pump.put(third)
        await until(lambda: acknowledged)
        await pump.put(fourth)
        await until(lambda: len(stage.held) == 1)
        assert acknowledged == [0, 1, 2]


async def test_a_stage_gets_what_is_there_at_once_but_never_more_than_it_can_take():
    stage = Hoarder()
    pump = Pump(stage, 4)
    for delivery in deliveries(9, []):
        await pump.put(delivery)
    task = asyncio.create_task(pump.run())
    await until(lambda: sum(stage.batches) == 9)
    task.cancel()
    assert stage.batches == [4, 4, 1]


async def test_an_idle_stage_is_still_called(monkeypatch):
    monkeypatch.setattr(pump_module, "IDLE_S", 0.01)
    stage = Hoarder()
    async with pumping(stage):
        await until(lambda: stage.batches[:2] == [0, 0])


async def test_after_partitions_moved_the_stage_starts_afresh_and_old_records_are_not_acknowledged():
    acknowledged, stage = [], Hoarder()
    async with pumping(stage) as pump:
        old, *new = deliveries(4, acknowledged)
        await pump.put(old)
        await until(lambda: stage.held)
        pump.partitions_moved()
        for delivery in new:
            await pump.put(delivery)
        await until(lambda: len(acknowledged) == 3)
    assert acknowledged == [1, 2, 3]
    assert stage.num_resets == 1


async def test_a_consumer_that_is_faster_than_the_stage_waits():
    pump = Pump(Hoarder(), 1)
    many = list(deliveries(MAX_WAITING + 1, []))
    for delivery in many[:-1]:
        await pump.put(delivery)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pump.put(many[-1]), 0.05)


async def test_a_stage_that_fails_for_good_stops_its_pump():
    class Broken(Hoarder):
        async def handle(self, records):
            raise PermissionError("topic 'skips' may not be written")

    with pytest.raises(PermissionError, match="skips"):
        await Pump(Broken(), 1).run()
