"""`corrected_turn`: the corrected turn that an accepted answer answers again.

A user who corrects an answer and accepts the next one has shown what the first should have been: the accepted answer is
a demonstration for the question as it was first asked. Where it took several tries, the first of them is meant.

Consumes an accepted action and what is known of the turns before it. Pure.
"""

from dataclasses import dataclass

from processors.chain import MissingBase, whole_prompt
from processors.turns import Known
from schemas.events import ActionTaken
from schemas.prompt import Resolved

CORRECTED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The first of an unbroken run of corrected actions, and what it had read."""

    action_id: str
    prompt: Resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingVerdict:
    """The turn that has to be settled first: else what is built would depend on which verdict came first."""

    action_id: str


def corrected_turn(action: ActionTaken, known: Known) -> Corrected | MissingVerdict | None:
    """What an accepted action answers again; None: what it followed was not wrong, or is forgotten.

    Raises:  TokenMismatchError: the corrected action's prompt contradicts the actions that it is stored against.
    """
    first: ActionTaken | None = None
    parent_id = action.parent_action_id
    while parent_id is not None:
        turn, parent = known.turn(parent_id), known.action(parent_id)
        if turn is None or parent is None:
            break
        if not turn.settled:
            return MissingVerdict(action_id=parent_id)
        if turn.score != CORRECTED:
            break
        first, parent_id = parent, parent.parent_action_id
    prompt = None if first is None else whole_prompt(first, known.action)
    if first is None or prompt is None or isinstance(prompt, MissingBase):
        return None
    return Corrected(action_id=first.id, prompt=prompt)
