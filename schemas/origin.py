"""Where log-probs come from (design promise 5): the engine that drew the tokens, a version that scored them, nobody.

What an import brings, and what another model served, was drawn by nobody that we know: it is `UNSCORED`, without a
single log-prob or version, until a trainer needs its log-probs and scores them with the version that it trains.
"""

from schemas.events import ActionTaken

ENGINE = "engine"
UNSCORED = "unscored"


def lacks_tokens(action: ActionTaken) -> bool:
    """Whether only the words of an action are known: another model served it. Its sample has the policy's tokens."""
    return action.logprob_origin == UNSCORED and not action.response_ids


def scored_by(policy: str, version: int) -> str:
    """The origin of log-probs that a version of a policy gave to tokens which somebody else had written."""
    return f"scored:{policy}@{version}"
