"""`whole_prompt`: the prompt of an action that was recorded as a chain of deltas, or the base that is not there yet.

Recorded actions are kept as they came (O(new tokens) each); the whole prompt exists only while it is looked at. The
chain is short, because gateways record a whole prompt every so many turns.
"""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.errors import MalformedEventError, TokenMismatchError
from schemas.events import ActionTaken
from schemas.prompt import Resolved, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBase:
    """The action that has to come first."""

    action_id: str


def whole_prompt(action: ActionTaken, lookup: Callable[[str], ActionTaken | None]) -> Resolved | MissingBase:
    """What the action read, whole.

    Args:    lookup: recorded actions by id.
    Raises:  TokenMismatchError: a base is shorter than what was kept of it, or the chain leads back to itself;
             MalformedEventError: a base is another tenant's, whose words are none of this one's business.
    """
    chain = [action]
    while (base_id := chain[-1].base_action_id) is not None:
        if any(base_id == known.id for known in chain):
            message = f"Action {action.id} is its own base by way of {base_id}; a base must be an earlier action."
            raise TokenMismatchError(message)
        base = lookup(base_id)
        if base is None:
            return MissingBase(action_id=base_id)
        if base.tenant != action.tenant:
            message = f"Action {action.id} builds on {base_id}, which is not its tenant's; a base must be its own."
            raise MalformedEventError(message)
        chain.append(base)
    prompt = resolve(chain.pop(), None)
    while chain:
        prompt = resolve(chain.pop(), prompt)
    return prompt
