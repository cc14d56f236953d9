"""Samples become batches: contiguous, of one policy, each sample once, across crashes."""

from dataclasses import replace

import pytest
from processor_world import World, action, next_state

from processors.config import ProcessorsConfig
from processors.pack import MAX_BATCH_BYTES, OpenBatch, OpenSample, seal
from streams.topics import BATCHES, REJECTIONS, SAMPLES, SKIPS


async def packed(num_turns, *, batch_size=3, policies=("assistant",), seal_after_s=3600.0):
    world = World(ProcessorsConfig(batch_size=batch_size, seal_after_s=seal_after_s))
    for turn in range(num_turns):
        policy = policies[turn % len(policies)]
        world.log.append(action(f"a-{turn}", conversation=f"c-{turn}", policy=policy))
        world.log.append(next_state(f"a-{turn}", conversation_id=f"c-{turn}", policy=policy))
    await world.settle()
    return world


def offsets(world):
    return [(batch.first_offset, batch.last_offset) for batch in world.log.events(BATCHES)]


async def test_batches_are_consecutive_ranges_and_the_rest_waits():
    world = await packed(8)
    assert offsets(world) == [(0, 2), (3, 5)]
    ids = [sample.id for sample in world.log.events(SAMPLES)]
    assert [i for batch in world.log.events(BATCHES) for i in batch.sample_ids] == ids[:6]
    assert all(batch.sealed_by == "size" for batch in world.log.events(BATCHES))


async def test_only_samples_in_a_sealed_batch_are_done():
    world = await packed(0)
    records = (await packed(4)).log.records["samples"]
    assert await world.pack_stage.handle(records[:2]) == []
    assert await world.pack_stage.handle(records[2:]) == records[:3]


async def test_a_waiting_sample_that_is_delivered_again_still_waits():
    world = World(ProcessorsConfig(batch_size=3))
    records = (await packed(3)).log.records["samples"]
    assert await world.pack_stage.handle(records[:2]) == []
    assert await world.pack_stage.handle(records[:2]) == []
    assert await world.pack_stage.handle(records[2:]) == records
    assert await world.pack_stage.handle(records) == records


async def test_policies_in_one_partition_have_batches_of_their_own():
    world = await packed(6, policies=("assistant", "assistant-of-ada"))
    places = {batch.policy: batch for batch in world.log.events(BATCHES)}
    assert set(places) == {"assistant", "assistant-of-ada"}
    for policy, batch in places.items():
        mine = [sample.id for sample in world.log.events(SAMPLES) if sample.policy == policy]
        assert list(batch.sample_ids) == mine


async def test_a_sample_that_was_recorded_twice_is_in_one_batch():
    world = await packed(3, batch_size=2)
    (first, *_), world.log.records["batches"] = world.log.events(SAMPLES), []
    world.restart()
    world.log.append(first)
    again = world.log.records["samples"]
    done = await world.pack_stage.handle(again)
    assert offsets(world) == [(0, 1)]
    assert again[3] in done


async def test_after_a_crash_samples_of_recorded_batches_are_not_packed_again():
    world = await packed(8)
    before = world.log.events(BATCHES)
    world.restart()
    world.read["samples"] = 0
    await world.settle()
    assert world.log.events(BATCHES) == before
    world.log.append(action("a-8", conversation="c-8"))
    world.log.append(next_state("a-8", conversation_id="c-8"))
    await world.settle()
    assert offsets(world) == [(0, 2), (3, 5), (6, 8)]


async def test_a_crash_before_anything_was_remembered_gives_the_same_batch_again():
    world = await packed(3)
    (batch,) = world.log.events(BATCHES)
    world.log.records["batches"].clear()
    world.restart()
    world.read["samples"] = 0
    await world.settle()
    assert world.log.events(BATCHES) == [batch]


async def test_a_batch_that_waits_too_long_is_sealed_as_it_is_and_says_so():
    world = await packed(4, seal_after_s=60.0)
    world.wait(60.0)
    assert await world.pack_stage.handle([]) == []
    assert len(world.log.events(BATCHES)) == 1
    world.wait(0.001)
    assert [record.offset for record in await world.pack_stage.handle([])] == [3]
    sealed = [(batch.sealed_by, len(batch.sample_ids)) for batch in world.log.events(BATCHES)]
    assert sealed == [("size", 3), ("time", 1)]


async def test_a_batch_is_sealed_early_rather_than_grow_too_large_for_a_record(monkeypatch):
    one = OpenSample(sample=(await packed(1)).log.events(SAMPLES)[0], record=None).num_bytes
    monkeypatch.setattr("processors.pack.MAX_BATCH_BYTES", 2 * one + one // 2)
    world = await packed(5, batch_size=100)
    assert offsets(world) == [(0, 1), (2, 3)]


async def test_a_record_that_is_no_sample_is_rejected_and_done():
    world = World()
    bad = world.log.append_raw(SAMPLES, b"assistant", b"{}")
    assert await world.pack_stage.handle([bad]) == [bad]
    assert [each.topic for each in world.log.events(REJECTIONS)] == ["samples"]


async def test_a_sample_that_fits_no_batch_does_not_take_the_others_with_it():
    good = [record.event for record in (await packed(2, batch_size=9)).log.records["samples"]]
    world = World(ProcessorsConfig(batch_size=2))
    huge = replace(good[0], id="huge", action_id="a-huge", turn=2**31)  # whole in JSON, but not in 32 bits
    records = [world.log.append(event) for event in (good[0], huge, good[1])]
    done = await world.pack_stage.handle(records)
    assert sorted(record.offset for record in done) == [0, 1, 2]
    (batch,) = world.log.events(BATCHES)
    assert batch.sample_ids == (good[0].id, good[1].id)
    (rejection,) = world.log.events(REJECTIONS)
    assert (rejection.topic, rejection.offset, rejection.stage) == ("samples", 1, "pack")
    (skip,) = world.log.events(SKIPS)
    assert (skip.action_id, skip.reason, skip.stage) == ("a-huge", "rejected", "pack")


async def test_an_estimate_is_never_below_what_a_batch_takes():
    world = await packed(9, batch_size=9)
    (record,) = world.log.records["batches"]
    samples = [OpenSample(sample=each.event, record=each) for each in world.log.records["samples"]]
    assert len(record.value) <= sum(each.num_bytes for each in samples)


async def test_the_id_of_a_batch_is_made_of_its_samples_only():
    records = (await packed(3)).log.records["samples"]
    samples = [OpenSample(sample=record.event, record=record) for record in records]
    assert seal(samples, "size").id == seal(samples, "time").id
    assert seal(samples, "size").id != seal(samples[:2], "size").id


async def test_an_empty_batch_takes_a_sample_of_any_size():
    (record,) = (await packed(1)).log.records["samples"]
    assert OpenBatch().fits(OpenSample(sample=record.event, record=record))
    assert not OpenBatch(samples=[object()], num_bytes=MAX_BATCH_BYTES).fits(
        OpenSample(sample=record.event, record=record)
    )


@pytest.mark.parametrize("batch_size", [1, 2, 5])
async def test_every_size_gives_ranges_that_touch_and_do_not_overlap(batch_size):
    ranges = offsets(await packed(10, batch_size=batch_size))
    assert ranges == [(start, start + batch_size - 1) for start in range(0, 10, batch_size)]
