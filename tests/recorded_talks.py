"""Small logs whose ids are as real ones are, for what repeats a recorded log (infra/bench/log/history.py)."""

import asyncio

from processor_world import BAD, GOOD, HINTED, World, action, next_state, resolved, user

from schemas.identity import new_id
from streams.recorded import Recorded

REPLIES = (GOOD, BAD, HINTED)


def recorded_talks(num_conversations: int = 2) -> list[Recorded]:
    """Conversations of three answered turns each, and all that the stages derive from them."""
    world = World()
    for _ in range(num_conversations):
        _talk(world, new_id())
    asyncio.run(world.settle())
    return [record for records in world.log.records.values() for record in records]


def _talk(world: World, conversation: str) -> None:
    base, messages = None, ()
    for number, reply in enumerate(REPLIES):
        messages = (*messages, user(f"question {number}"))
        taken = action(new_id(), messages=messages, conversation=conversation, base=base, time_ms=world.now_ms)
        base, messages = resolved(taken, messages), (*messages, taken.reply)
        world.wait(1)
        world.log.append(taken)
        said = next_state(taken.id, reply, id=new_id(), conversation_id=conversation, time_ms=world.now_ms)
        world.log.append(said)
