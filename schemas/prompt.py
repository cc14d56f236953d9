"""Prompts as deltas: what an action read, stored as the difference to an earlier action, and put back together.

The gateway calls `delta` when it records an action; processors call `resolve` when they need the whole prompt. The two
are inverse: `resolve(delta(...))` gives back the very ids and messages, whatever the client did to its history,
because only what is equal token by token (message by message) is left out.

Two parts of the base are left out: the beginning that both have, and the tail, the longest later part that both have.
So a conversation costs its new tokens also where its system prompt says another time in each call. The tail is found as
rsync finds what two files share: blocks of the base by their content, then along the prompt from one hit to the next,
each item once. That takes O(n), and may miss a part of less than two blocks.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

from schemas.errors import TokenMismatchError
from schemas.events import ActionTaken, KeptTail, Message

_BLOCK_TOKENS = 16  # longer than what a chat template writes between any two messages
_BLOCK_MESSAGES = 1

Items = TypeVar("Items", tuple[Message, ...], tuple[int, ...], "array[int]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The whole of what an action read, and what it wrote."""

    action_id: str
    messages: tuple[Message, ...]
    prompt_ids: tuple[int, ...]  # [P]
    reply: Message
    response_ids: tuple[int, ...]  # [T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The fields of ActionTaken that say what it read."""

    base_action_id: str | None
    kept_messages: int
    messages: tuple[Message, ...]
    messages_tail: KeptTail | None
    kept_prompt_tokens: int
    prompt_ids: tuple[int, ...]
    prompt_tail: KeptTail | None

    def as_fields(self) -> dict[str, Any]:
        """To make an ActionTaken with, or to replace those of one."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def delta(messages: tuple[Message, ...], prompt_ids: tuple[int, ...], base: Resolved | None) -> Delta:
    """What to store for a prompt, given an earlier action that it may continue (None: store it whole)."""
    if base is None:
        return Delta(
            base_action_id=None,
            kept_messages=0,
            messages=messages,
            messages_tail=None,
            kept_prompt_tokens=0,
            prompt_ids=prompt_ids,
            prompt_tail=None,
        )
    said = _difference(messages, (*base.messages, base.reply), _BLOCK_MESSAGES, _end_of_history(messages))
    ids = _difference(prompt_ids, base.prompt_ids + base.response_ids, _BLOCK_TOKENS, len(prompt_ids))
    if not (said.kept or said.tail or ids.kept or ids.tail):
        return delta(messages, prompt_ids, None)
    return Delta(
        base_action_id=base.action_id,
        kept_messages=said.kept,
        messages=_new(messages, said),
        messages_tail=said.tail,
        kept_prompt_tokens=ids.kept,
        prompt_ids=_new(prompt_ids, ids),
        prompt_tail=ids.tail,
    )


def resolve(action: ActionTaken, base: Resolved | None) -> Resolved:
    """The whole prompt of a recorded action.

    Args:    base: the resolved `action.base_action_id`; None where the action has none.
    Raises:  TokenMismatchError: the base is not the one named, or is shorter than what the action kept of it.
    """
    if (base.action_id if base else None) != action.base_action_id:
        message = f"Action {action.id} builds on {action.base_action_id}, but was resolved against another action."
        raise TokenMismatchError(message)
    known_messages = (*base.messages, base.reply) if base else ()
    known_ids = base.prompt_ids + base.response_ids if base else ()
    if num_needed(action.kept_messages, action.messages_tail) > len(known_messages) or num_needed(
        action.kept_prompt_tokens, action.prompt_tail
    ) > len(known_ids):
        message = f"Action {action.id} keeps more of action {action.base_action_id} than that one has."
        raise TokenMismatchError(message)
    return Resolved(
        action_id=action.id,
        messages=put_together(known_messages, action.kept_messages, action.messages, action.messages_tail),
        prompt_ids=put_together(known_ids, action.kept_prompt_tokens, action.prompt_ids, action.prompt_tail),
        reply=action.reply,
        response_ids=action.response_ids,
    )


def put_together(known: Items, kept: int, new: Items, tail: KeptTail | None) -> Items:
    """The whole of what was stored as a delta against `known`, which is what the base read and wrote."""
    if tail is None:
        return known[:kept] + new
    return known[:kept] + new[: tail.num_before] + known[tail.start : tail.end] + new[tail.num_before :]


def num_needed(kept: int, tail: KeptTail | None) -> int:
    """How many items a base must have, for this to be kept of it."""
    return max(kept, tail.end if tail else 0)


def num_kept(kept: int, tail: KeptTail | None) -> int:
    """How many items are the base's."""
    return kept + (tail.end - tail.start if tail else 0)


class _Difference(NamedTuple):
    kept: int
    tail: KeptTail | None


class _Run(NamedTuple):
    """Equal items: of the base from `start`, of the prompt from `place`."""

    start: int
    place: int
    length: int


def _end_of_history(messages: tuple[Message, ...]) -> int:
    """Where begins what an action is the first to read: that is never in a tail, so that one sees what was said."""
    return max((place for place, message in enumerate(messages, 1) if message.role == "assistant"), default=0)


def _difference(prompt: Sequence[object], base: Sequence[object], block: int, end: int) -> _Difference:
    """What a prompt has of its base. Args: block: items; end: of the prompt, where a tail ends at the latest."""
    kept = _num_equal(base, 0, prompt, 0, len(prompt))
    run = _longest_run(prompt, base, kept, block, end)
    if run is None:
        return _Difference(kept, None)
    return _Difference(kept, KeptTail(start=run.start, end=run.start + run.length, num_before=run.place - kept))


def _longest_run(prompt: Sequence[object], base: Sequence[object], kept: int, block: int, end: int) -> _Run | None:
    """The longest run behind the beginning that is kept.

    Of equal blocks the first counts: prompt and base are read in the same direction, so where a conversation repeats
    itself, the first of both belong together.
    """
    starts: dict[Sequence[object], int] = {}
    for start in range(kept, len(base) - block + 1, block):
        starts.setdefault(base[start : start + block], start)
    best, place = _Run(0, 0, 0), kept
    while starts and place + block <= end:
        found = starts.get(prompt[place : place + block])
        run = _Run(0, place, 0) if found is None else _Run(found, place, _num_equal(base, found, prompt, place, end))
        best = max(best, run, key=lambda one: one.length)
        place += max(1, run.length)
    return _from_its_first(best, prompt, base, kept) if best.length else None


def _from_its_first(run: _Run, prompt: Sequence[object], base: Sequence[object], kept: int) -> _Run:
    """The run with the equal items before it: those of its first block that was not whole, or a shorter run."""
    start, place, length = run
    while min(start, place) > kept and base[start - 1] == prompt[place - 1]:
        start, place, length = start - 1, place - 1, length + 1
    return _Run(start, place, length)


def _num_equal(base: Sequence[object], start: int, prompt: Sequence[object], place: int, end: int) -> int:
    """How many items are equal from these places on, before the end of the base and `end` of the prompt."""
    length, limit = 0, min(len(base) - start, end - place)
    while length < limit and base[start + length] == prompt[place + length]:
        length += 1
    return length


def _new(prompt: Items, difference: _Difference) -> Items:
    """What of a prompt is not the base's."""
    kept, tail = difference
    if tail is None:
        return prompt[kept:]
    place = kept + tail.num_before
    return prompt[kept:place] + prompt[place + tail.end - tail.start :]
