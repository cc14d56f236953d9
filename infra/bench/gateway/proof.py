"""`prove`: figures count only if every request was drawn by the engine, and recorded by whoever had to record it."""

from collections import Counter

import httpx

from infra.bench.gateway.sides import Sides
from schemas.errors import FatalError
from schemas.events import ActionTaken, NextStateObserved
from streams.consumer import read_all
from streams.topics import ACTIONS, NEXT_STATES


def prove(sides: Sides, num_requests: int, num_turns: int) -> None:
    """Compares what clients read with what the engine drew, the log holds and the reference has written.

    Args:    num_requests: that each side answered; num_turns: of each conversation.
    Raises:  FatalError: something was not drawn, not recorded, or not found to follow what it follows.
    """
    num_drawn = httpx.get(f"{sides.engine.url}/drawn", trust_env=False).json()
    _compare("answers that the engine drew", num_drawn, num_requests * len(list(sides)))
    found = _recorded(sides)
    num_followed = num_requests - num_requests // num_turns
    _compare("actions that the gateway recorded", found["action"], num_requests)
    _compare("next states that the gateway recorded", found["next state"], num_followed)
    _compare("turns that the gateway could not tell apart", found["ambiguous"], 0)
    if sides.reference is not None:
        num_records = len(sides.record_file.read_bytes().splitlines())
        _compare("turns that the reference recorded", num_records, num_requests)


def _recorded(sides: Sides) -> Counter[str]:
    found: Counter[str] = Counter()
    for record in read_all(sides.kafka, [ACTIONS, NEXT_STATES]):
        match record.event:
            case ActionTaken(ambiguous=ambiguous):
                found.update(["action", *(["ambiguous"] if ambiguous else [])])
            case NextStateObserved():
                found["next state"] += 1
    return found


def _compare(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise FatalError(f"The benchmark's figures are not of real requests: {found} {what}, but it made {expected}.")
