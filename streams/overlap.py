"""What a request shares with the actions that it may answer: which of them it does answer, and what is new to that one.

Pure: consumes messages, and digests of what was read; the conversation index (streams/conversation.py) has the rest.
"""

from collections import Counter

from schemas.events import Message
from schemas.messages import digest_message
from streams.open_actions import OpenAction


def last_assistant(messages: tuple[Message, ...]) -> int | None:
    """The place of the last message that an assistant said."""
    return next((i for i in reversed(range(len(messages))) if messages[i].role == "assistant"), None)


def best_of(candidates: list[OpenAction], history: Counter[str]) -> tuple[OpenAction, bool]:
    """The candidate (oldest first) whose reading overlaps most with the history, and whether that was a guess."""
    overlaps = [(action.read & history).total() for action in candidates]
    most = max(overlaps)
    best = [action for action, overlap in zip(candidates, overlaps, strict=True) if overlap == most]
    chosen = min(best, key=lambda action: ((action.read - history).total(), action.answered))  # min keeps the oldest
    nothing_in_common = most == 0 and bool(history or chosen.read)
    return chosen, nothing_in_common or not all(action.is_like(chosen) for action in best)


def unread(after: tuple[Message, ...], read: Counter[str], history: Counter[str]) -> tuple[Message, ...]:
    """The messages after the reply, without context that the client repeats in each request.

    Such context was read by the action, is no longer in the history, and comes again. A person who says the same thing
    twice is different: the first time is in the history. Only user messages can be context (a tool result always
    answers the reply); and a request always says something, so if all of it seems repeated, all of it counts.
    """
    dropped_from_history = read - history
    new = []
    for message in after:
        digest = digest_message(message)
        if message.role == "user" and dropped_from_history[digest] > 0:
            dropped_from_history[digest] -= 1
        else:
            new.append(message)
    return tuple(new) or after
