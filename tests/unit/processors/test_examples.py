"""An answer that a user accepted after a correction is shown to the teachers of later turns, this user's only."""

import pytest
from processor_world import GOOD, HINTED, World, corrected_turns

from processors.config import ProcessorsConfig
from streams.codec import decode_batch
from streams.topics import BATCHES

SHOWN = "user:hello\nanswer 2"
TAUGHT, LATER = ("c-taught", HINTED, GOOD), ("c-later", HINTED)


def world_of(*conversations, subjects=None, **config):
    world = World(ProcessorsConfig(batch_size=1, **config))
    for number, (name, *replies) in enumerate(conversations):
        subject = "ada" if subjects is None else subjects[number]
        for event in corrected_turns(*replies, conversation=name, subject=subject):
            world.log.append(event)
    return world


def examples(world):
    """By action: what its teachers read first."""
    tables = [decode_batch(record.value)[1].to_pylist() for record in world.log.records[BATCHES.name]]
    return {row["action_id"]: "".join(map(chr, row["example_ids"])) for rows in tables for row in rows}


async def packed(*conversations, **options):
    world = world_of(*conversations, **options)
    await world.settle()
    return examples(world)


async def test_what_was_accepted_after_a_correction_is_shown_to_the_teachers_of_later_turns():
    assert await packed(TAUGHT, LATER) == {
        "a-c-taught-1": "",  # nothing was accepted yet
        "a-c-taught-2": "",  # it has no hint, so nobody reads it
        "a-c-later-1": SHOWN,
    }


async def test_the_last_one_is_shown():
    shown = await packed(TAUGHT, ("c-again", HINTED, HINTED, GOOD), LATER)
    assert shown["a-c-again-2"] == SHOWN
    assert shown["a-c-again-3"] == ""  # without a hint it has no teacher to read it
    assert shown["a-c-later-1"] == "user:hello\nanswer 3"


@pytest.mark.parametrize("subjects", [("ada", "bob"), ("", "")])
async def test_nobody_is_shown_what_another_user_accepted(subjects):
    assert (await packed(TAUGHT, LATER, subjects=subjects))["a-c-later-1"] == ""


@pytest.mark.parametrize(("max_tokens", "expected"), [(len(SHOWN), SHOWN), (len(SHOWN) - 1, ""), (0, "")])
async def test_a_longer_one_is_not_remembered(max_tokens, expected):
    assert (await packed(TAUGHT, LATER, max_example_tokens=max_tokens))["a-c-later-1"] == expected


async def test_after_a_restart_the_same_is_shown():
    world = world_of(TAUGHT)
    await world.settle()
    world.restart()
    for event in corrected_turns(HINTED, conversation="c-later"):
        world.log.append(event)
    await world.settle()
    assert examples(world)["a-c-later-1"] == SHOWN


async def test_a_sample_that_is_in_no_batch_yet_is_an_example_only_when_it_comes_again():
    world = world_of(TAUGHT, LATER)
    await world.settle()
    expected = examples(world)
    world.log.records[BATCHES.name].clear()
    world.restart()
    world.read["samples"] = 0
    await world.settle()
    assert examples(world) == expected
