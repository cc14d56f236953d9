"""Laws of the whole pipeline: order between topics, repeated records and crashes change nothing that is derived.

Kafka promises order within a topic's partition, nothing between topics, and delivers again after a crash. The judge
here never answers twice alike, so asking it again where its answer is recorded would show as two contents under one id.
"""

import asyncio
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from processor_world import (
    BAD,
    GOOD,
    HINTED,
    UNRELATED,
    UNSURE,
    World,
    action,
    ended,
    next_state,
    resolved,
    thumb,
    user,
)

from processors.config import ProcessorsConfig
from schemas.events import Event
from streams.topics import (
    ACTIONS,
    BATCHES,
    FEEDBACK,
    HINTS,
    NEXT_STATES,
    REJECTIONS,
    SAMPLES,
    SKIPS,
    TRANSITIONS,
    VERDICTS,
)

READ = (ACTIONS, NEXT_STATES, FEEDBACK, TRANSITIONS, VERDICTS, HINTS, SAMPLES)
DERIVED = (TRANSITIONS, VERDICTS, HINTS, SAMPLES, SKIPS)


class CrashError(Exception):
    """The process is gone."""


@dataclass(frozen=True)
class Chat:
    """What happened in one conversation, per topic in order."""

    actions: tuple[Event, ...]
    next_states: tuple[Event, ...]
    feedback: tuple[Event, ...] = ()


THUMBS = st.lists(st.sampled_from([-1, 1]), max_size=2)
TURN = st.fixed_dictionaries(
    {
        "thumbs": st.just([]),
        "text": st.sampled_from([GOOD, BAD, UNRELATED, UNSURE, HINTED, None]),
        "ended": st.booleans(),
        "branch": st.booleans(),
        "repeat": st.booleans(),
        "changes": st.sampled_from([{}, {}, {}, {"turn_type": "side"}, {"finish_reason": "aborted"}]),
    }
)


RATED_TURN = st.builds(lambda turn, thumbs: {**turn, "thumbs": thumbs}, TURN, THUMBS)


@st.composite
def chats(draw, turn):
    return [chat(f"c-{n}", draw(st.lists(turn, min_size=1, max_size=4))) for n in range(draw(st.integers(1, 3)))]


def chat(name, turns):
    actions, next_states, feedback, base, messages = [], [], [], None, ()
    for number, turn in enumerate(turns):
        messages = (*messages, user(f"question {number}"))
        taken = action(f"{name}/{number}", messages=messages, reply="ok", conversation=name, base=base)
        base = resolved(taken, messages)
        messages = (*messages, taken.reply)
        actions.append(replace(taken, **turn["changes"]))
        followed = [ended(taken.id, conversation_id=name)] if turn["ended"] else []
        if turn["text"] is not None:
            followed.append(next_state(taken.id, turn["text"], conversation_id=name))
            if turn["branch"]:
                followed.append(next_state(taken.id, BAD, id=f"second-{taken.id}", conversation_id=name))
        if turn["repeat"]:
            actions.append(actions[-1])
            followed += followed[:1]
        next_states += followed
        given = [
            thumb(taken.id, said, id=f"f-{taken.id}-{n}", conversation_id=name, time_ms=3_000 + n)
            for n, said in enumerate(turn["thumbs"])
        ]
        feedback += given[::-1] + given if turn["repeat"] else given
    return Chat(tuple(actions), tuple(next_states), tuple(feedback))


class Moody:
    """A judge with the scores of another, and a confidence that it never gives twice."""

    name, version = "moody", "1"

    def __init__(self, judge):
        self.judge_of_words, self.num_answers = judge, 0

    async def judge(self, transitions):
        answers = []
        for judgement in await self.judge_of_words.judge(transitions):
            self.num_answers += 1
            answers.append(replace(judgement, confidence=1 / self.num_answers))
        return answers


class CrashingWorld(World):
    """A world that dies after so many writes, whatever is being written."""

    writes_left: float = float("inf")

    def __init__(self):
        super().__init__(ProcessorsConfig(batch_size=2))
        self.judge = Moody(self.judge)
        append, puts = self.log.append, {table: table.put for table in (self.actions, self.turns)}

        def counted_append(*args):
            self.count()
            return append(*args)

        for table, put in puts.items():

            async def counted_put(*args, put=put):
                self.count()
                await put(*args)

            table.put = counted_put
        self.counted_append, self.plain_append = counted_append, append
        self.log.append = counted_append
        self.restart()

    def count(self):
        self.writes_left -= 1
        if self.writes_left < 0:
            raise CrashError

    def record(self, event):
        self.plain_append(event)

    async def survive(self, schedule, crash_points):
        """Deliver by the schedule, then everything; at a crash start again and read all from the beginning."""
        for writes in (*crash_points, float("inf")):
            self.writes_left = writes
            try:
                for topic, num_records in schedule:
                    await self.deliver(topic, num_records)
                await self.settle()
            except CrashError:
                self.restart()
                self.read.clear()


def said(world):
    """Derived events by topic and id, without what the judge makes up afresh each time."""
    found = {topic: world.log.by_id(topic) for topic in DERIVED}
    found[VERDICTS] = {key: replace(verdict, confidence=None) for key, verdict in found[VERDICTS].items()}
    return found


def straight(conversations):
    """Everything in the order in which it happened, once, without a crash."""
    world = CrashingWorld()
    for each in conversations:
        for event in (*each.actions, *each.next_states):
            world.record(event)
    asyncio.run(world.settle())
    return world


SCHEDULE = st.lists(st.tuples(st.sampled_from(READ), st.integers(1, 3)), max_size=30)
CRASHES = st.lists(st.integers(0, 25), max_size=3)


@st.composite
def interleaved(draw, turn=TURN):
    """Conversations, and their events mixed: each conversation's order kept within a topic, and nothing else."""
    conversations = draw(chats(turn))
    queues = [list(events) for each in conversations for events in (each.actions, each.next_states, each.feedback)]
    mixed = []
    while queues := [queue for queue in queues if queue]:
        mixed.append(draw(st.sampled_from(queues)).pop(0))
    return conversations, mixed


@settings(max_examples=40, deadline=None)
@given(interleaved(), SCHEDULE, CRASHES)
def test_order_repeats_and_crashes_change_nothing_that_is_derived(history, schedule, crash_points):
    conversations, mixed = history
    world = CrashingWorld()
    for event in mixed:
        world.record(event)
    asyncio.run(world.survive(schedule, crash_points))
    derived, expected = said(world), said(straight(conversations))
    for topic in DERIVED:
        assert derived[topic] == expected[topic]
    assert world.log.events(REJECTIONS) == []


@settings(max_examples=40, deadline=None)
@given(interleaved(), SCHEDULE, CRASHES)
def test_every_sample_is_in_at_most_one_batch_and_batches_do_not_overlap(history, schedule, crash_points):
    world = CrashingWorld()
    for event in history[1]:
        world.record(event)
    asyncio.run(world.survive(schedule, crash_points))
    batches = sorted(world.log.by_id(BATCHES).values(), key=lambda batch: batch.first_offset)
    packed = [sample_id for batch in batches for sample_id in batch.sample_ids]
    assert len(packed) == len(set(packed))
    assert all(before.last_offset < after.first_offset for before, after in pairwise(batches))
    assert len(world.log.by_id(SAMPLES)) - len(packed) in {0, 1}


@settings(max_examples=40, deadline=None)
@given(interleaved(), CRASHES)
def test_every_action_ends_as_one_sample_or_as_a_skip_that_says_why(history, crash_points):
    conversations, mixed = history
    world = CrashingWorld()
    for event in mixed:
        world.record(event)

    async def live():
        await world.survive([], crash_points)
        world.wait(world.config.next_state_timeout_s + 1)
        await world.turn_stage.end_overdue()
        await world.settle()

    asyncio.run(live())
    trained = [sample.action_id for sample in world.log.by_id(SAMPLES).values()]
    skipped = {skip.action_id for skip in world.log.by_id(SKIPS).values() if skip.reason != "branch"}
    assert len(trained) == len(set(trained))
    assert set(trained) | skipped == {taken.id for each in conversations for taken in each.actions}


@settings(max_examples=60, deadline=None)
@given(interleaved(RATED_TURN), SCHEDULE, CRASHES)
def test_with_thumbs_too_an_action_is_one_sample_at_most_and_says_what_rewarded_it(history, schedule, crash_points):
    conversations, mixed = history
    world = CrashingWorld()
    for event in mixed:
        world.record(event)
    asyncio.run(world.survive(schedule, crash_points))
    given = {event.id: event for each in conversations for event in each.feedback}
    scores = {verdict.id: verdict.score for verdict in world.log.by_id(VERDICTS).values()}
    samples = world.log.by_id(SAMPLES).values()
    assert len({sample.action_id for sample in samples}) == len(samples)
    for sample in samples:
        if sample.feedback_id is None:
            assert sample.reward == (scores[sample.verdict_id] or None)
        else:
            assert given[sample.feedback_id].action_id == sample.action_id
            assert sample.reward == given[sample.feedback_id].thumb
    assert world.log.events(REJECTIONS) == []


@settings(max_examples=60, deadline=None)
@given(interleaved(RATED_TURN), SCHEDULE)
def test_a_thumb_makes_a_sample_of_every_turn_that_may_train_and_is_followed_in_whatever_order(history, schedule):
    conversations, mixed = history
    world = CrashingWorld()
    for event in mixed:
        world.record(event)
    asyncio.run(world.survive(schedule, ()))
    refused = {skip.action_id for skip in world.log.by_id(SKIPS).values() if skip.reason in {"side_turn", "aborted"}}
    followed = {event.action_id for each in conversations for event in each.next_states}
    thumbed = {event.action_id for each in conversations for event in each.feedback}
    assert thumbed & followed - refused <= {sample.action_id for sample in world.log.by_id(SAMPLES).values()}


@settings(max_examples=40, deadline=None)
@given(interleaved(RATED_TURN), SCHEDULE, SCHEDULE)
def test_thumbs_that_are_known_before_the_judge_answers_give_the_same_samples_in_any_order(history, one, other):
    """Every thumb is read first, so only the order of everything else is left; ends are left out (they do not wait)."""
    built = []
    for schedule in (one, other):
        world = CrashingWorld()
        for event in history[1]:
            if getattr(event, "kind", "messages") != "ended":
                world.record(event)
        asyncio.run(world.survive([(FEEDBACK, 1_000), *schedule], ()))
        built.append(world.log.by_id(SAMPLES))
    assert built[0] == built[1]
