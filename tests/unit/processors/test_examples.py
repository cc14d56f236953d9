"""Answers that a user liked are shown to the teachers of later turns, this user's only."""

from dataclasses import replace

import pytest
from processor_world import BAD, GOOD, HINTED, UNSURE, World, corrected_turns

from processors.config import ProcessorsConfig
from processors.examples import Examples
from streams.codec import decode_batch
from streams.topics import BATCHES
from tests.example_events import SAMPLE

SHOWN = "user:hello\nassistant:answer 2\n"
LIKED = replace(SAMPLE, subject="ada", as_example_ids=(7, 8, 9), examples_at=0, example_ids=())
NEXT = replace(LIKED, conversation_id="next")
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
        "a-c-taught-2": "",
        "a-c-later-1": SHOWN,
    }


async def test_a_turn_that_nobody_corrected_is_shown_them_too():
    assert (await packed(TAUGHT, ("c-good", GOOD)))["a-c-good-1"] == SHOWN


@pytest.mark.parametrize(
    ("replies", "expected"),
    [((GOOD,), "user:hello\nassistant:answer 1\n"), ((BAD,), ""), ((UNSURE,), ""), ((HINTED, BAD), "")],
)
async def test_only_what_was_liked_is_shown_and_an_answer_that_was_right_at_once_too(replies, expected):
    assert (await packed(("c-first", *replies), LATER))["a-c-later-1"] == expected


AGAIN, THIRD = ("c-again", HINTED, HINTED, GOOD), ("c-third", HINTED, GOOD)
SECOND = "user:hello\nassistant:answer 3\n"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, SHOWN + SECOND + SHOWN),  # the oldest first
        ({"num_examples": 2}, SECOND + SHOWN),
        ({"num_examples": 1}, SHOWN),
        ({"num_examples": 0}, ""),
        ({"max_example_tokens": 3 * len(SHOWN)}, SHOWN + SECOND + SHOWN),
        ({"max_example_tokens": 3 * len(SHOWN) - 1}, SECOND + SHOWN),
        ({"max_example_tokens": len(SHOWN) - 1}, ""),  # a longer one is not remembered
    ],
)
async def test_the_last_ones_are_shown(config, expected):
    shown = await packed(TAUGHT, AGAIN, THIRD, LATER, **config)
    assert shown["a-c-later-1"] == expected


@pytest.mark.parametrize("subjects", [("ada", "bob"), ("", "")])
async def test_nobody_is_shown_what_another_user_accepted(subjects):
    assert (await packed(TAUGHT, LATER, subjects=subjects))["a-c-later-1"] == ""


@pytest.mark.parametrize("whose", [{"policy": "other"}, {"tenant": "other"}, {"subject": "other"}])
def test_policies_tenants_and_users_have_their_own(whose):
    shown = Examples(6, 100)
    shown.add(LIKED)
    assert shown.shown(NEXT).example_ids == LIKED.as_example_ids
    assert shown.shown(replace(NEXT, **whose)).example_ids == ()


def test_a_template_without_a_place_for_them_is_shown_none():
    shown = Examples(6, 100)
    shown.add(LIKED)
    assert shown.shown(replace(NEXT, examples_at=None)).example_ids == ()


def test_a_conversation_is_shown_once_as_it_went_last_and_never_to_itself():
    shown = Examples(6, 100)
    longer = replace(LIKED, as_example_ids=(*LIKED.as_example_ids, 1, 2))
    for sample in (LIKED, longer):
        shown.add(sample)
    assert shown.shown(LIKED).example_ids == ()
    assert shown.shown(NEXT).example_ids == longer.as_example_ids


def test_one_that_is_too_long_leaves_the_others():
    shown = Examples(6, len(LIKED.as_example_ids))
    shown.add(LIKED)
    shown.add(replace(NEXT, as_example_ids=(*LIKED.as_example_ids, 1)))
    assert shown.shown(NEXT).example_ids == LIKED.as_example_ids


@pytest.mark.parametrize("again", [World.restart, lambda world: world.pack_stage.reset()], ids=["started", "reset"])
async def test_when_it_starts_again_the_same_is_shown(again):
    world = world_of(TAUGHT)
    await world.settle()
    again(world)
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
