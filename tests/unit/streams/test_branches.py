"""A run's name is part of topic names: what is none is refused."""

import pytest

from schemas.errors import SettingsError
from streams.branches import branch_of
from streams.config import KafkaConfig


def test_a_branch_has_a_prefix_below_the_logs_own() -> None:
    branch = branch_of(KafkaConfig(topic_prefix="mine.", replication_factor=3), "stern-2")
    assert branch.topic("verdicts") == "mine.run.stern-2.verdicts"
    assert branch.replication_factor == 3


@pytest.mark.parametrize("name", ["", "a.b", "-a", "a b", "x" * 33, "é"])
def test_a_name_that_topics_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is no name for a run"):
        branch_of(KafkaConfig(), name)
