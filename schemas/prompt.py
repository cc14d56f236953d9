"""Prompts as deltas: what an action read, stored as the difference to an earlier action, and put back together.

The gateway calls `delta` when it records an action; processors call `resolve` when they need the whole prompt. The two
are inverse: `resolve(delta(...))` gives back the very ids and messages, whatever the client did to its history,
because only a prefix that is equal token by token (message by message) is left out.
"""

from dataclasses import dataclass

from schemas.errors import TokenMismatchError
from schemas.events import ActionTaken, Message


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
    kept_prompt_tokens: int
    prompt_ids: tuple[int, ...]


def _common_prefix(a: tuple[object, ...], b: tuple[object, ...]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def delta(messages: tuple[Message, ...], prompt_ids: tuple[int, ...], base: Resolved | None) -> Delta:
    """What to store for a prompt, given an earlier action that it may continue (None: store it whole)."""
    if base is None:
        return Delta(
            base_action_id=None, kept_messages=0, messages=messages, kept_prompt_tokens=0, prompt_ids=prompt_ids
        )
    kept_messages = _common_prefix((*base.messages, base.reply), messages)
    kept_tokens = _common_prefix(base.prompt_ids + base.response_ids, prompt_ids)
    if kept_messages == 0 and kept_tokens == 0:
        return delta(messages, prompt_ids, None)
    return Delta(
        base_action_id=base.action_id,
        kept_messages=kept_messages,
        messages=messages[kept_messages:],
        kept_prompt_tokens=kept_tokens,
        prompt_ids=prompt_ids[kept_tokens:],
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
    if action.kept_messages > len(known_messages) or action.kept_prompt_tokens > len(known_ids):
        message = f"Action {action.id} keeps more of action {action.base_action_id} than that one has."
        raise TokenMismatchError(message)
    return Resolved(
        action_id=action.id,
        messages=known_messages[: action.kept_messages] + action.messages,
        prompt_ids=known_ids[: action.kept_prompt_tokens] + action.prompt_ids,
        reply=action.reply,
        response_ids=action.response_ids,
    )
