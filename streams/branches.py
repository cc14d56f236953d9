"""`branch_of`: a log beside the log: what a named run derived from the same history, on the same broker.

A branch has every topic of streams/topics.py under a prefix of its own, so nothing that reads the live log can take up
any of it by accident, and everything that reads a log (views, lineage, a trainer, a whole stack) reads a branch as one.
"""

import re

from schemas.errors import SettingsError
from streams.asking import BrokerQuestions
from streams.config import KafkaConfig
from streams.topics import RUNS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")  # no dot: that ends the name in a topic's
_ANSWER_TIMEOUT_S = 30.0


def branch_of(config: KafkaConfig, run: str) -> KafkaConfig:
    """Where the branch of a run is.

    Raises:  SettingsError: no name for a run.
    """
    if not _NAME.fullmatch(run):
        raise SettingsError(f"{run!r} is no name for a run: use up to 32 letters, digits, _ and -.")
    return config.model_copy(update={"topic_prefix": f"{_prefix(config)}{run}."})


def branches(config: KafkaConfig) -> list[str]:
    """The names of the runs that have a branch.

    Raises:  BrokerUnavailableError; FatalError: the broker refuses.
    """
    names = BrokerQuestions(config).topics(_ANSWER_TIMEOUT_S)
    topic = re.compile(f"{re.escape(_prefix(config))}({_NAME.pattern})\\.{RUNS.name}")
    return sorted(found.group(1) for name in names if (found := topic.fullmatch(name)))


def _prefix(config: KafkaConfig) -> str:
    return f"{config.topic_prefix}run."
