"""Histories made by the real stages, and their replay, in memory: for tests of replay and of what is built on it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from processor_world import EchoExtractor, EchoJudge, LetterRenderer, World, action, next_state, resolved, user

from infra.replay.comparison import Outcome
from infra.replay.history import read_recorded
from infra.replay.run import Assessors
from infra.replay.run import replay as run_replay
from infra.replay.slice import Read, Selection
from processors.config import ProcessorsConfig
from schemas.events import Event
from streams.memory import MemoryLog
from streams.recorded import Recorded


def lived(*conversations: Sequence[str | None], config: ProcessorsConfig | None = None, **fields: object) -> World:
    """A world in which these replies were given (None: none yet), conversation by conversation; all is derived."""
    world = World(config)
    for number, replies in enumerate(conversations):
        talk(world, f"c-{number}", replies, **fields)
    asyncio.run(world.settle())
    return world


def talk(world: World, conversation: str, replies: Sequence[str | None], **fields: object) -> None:
    """Record one conversation, whose prompts build on each other."""
    base, messages = None, ()
    for number, reply in enumerate(replies):
        messages = (*messages, user(f"question {number}"))
        taken = action(f"{conversation}/{number}", messages=messages, conversation=conversation, base=base, **fields)
        base, messages = resolved(taken, messages), (*messages, taken.reply)
        world.wait(1)
        world.log.append(taken)
        if reply is not None:
            whose = {"policy": taken.policy, "tenant": taken.tenant}
            world.log.append(next_state(taken.id, reply, conversation_id=conversation, **whose))


def reader(records: Iterable[Recorded]) -> Read:
    held = list(records)
    return lambda topics: (each for topic in topics for each in held if each.topic == topic.name)


def records_of(log: MemoryLog) -> list[Recorded]:
    return [record for records in log.records.values() for record in records]


def replayed(
    records: Iterable[Recorded],
    selection: Selection | None = None,
    assessors: Assessors | None = None,
    observe: Callable[[Recorded], None] = lambda _: None,
    max_open_age_s: float = 86_400.0,
) -> Outcome:
    """The outcome of a replay of these records."""
    read = reader(records)
    taken, history = read_recorded(read, selection or Selection(), max_open_age_s)
    config = ProcessorsConfig(batch_size=2)
    return asyncio.run(run_replay(taken, history, LetterRenderer(), config, assessors, observe)).outcome(read)


def echoes() -> Assessors:
    return Assessors(judge=EchoJudge(), extractor=EchoExtractor())


def altered(records: Sequence[Recorded], topic: str, place: int, change: Callable[[Event], Event]) -> list[Recorded]:
    """The records with one event of a topic (not a batch) changed, as if it had been recorded so."""
    changed = [record for record in records if record.topic == topic][place]
    assert changed.event is not None
    other = MemoryLog().append(change(changed.event))
    assert (other.topic, other.partition) == (topic, changed.partition)
    new = replace(other, offset=changed.offset, timestamp_ms=changed.timestamp_ms)
    return [new if record is changed else record for record in records]
