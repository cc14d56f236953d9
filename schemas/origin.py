"""Where log-probs come from (design promise 5): the engine that drew the tokens, a version that scored them, nobody.

What an import brings was drawn by nobody that we know: it is `UNSCORED`, without a single log-prob or version, until a
trainer needs its log-probs and scores them with the version that it trains.
"""

ENGINE = "engine"
UNSCORED = "unscored"


def scored_by(policy: str, version: int) -> str:
    """The origin of log-probs that a version of a policy gave to tokens which somebody else had written."""
    return f"scored:{policy}@{version}"
