"""The benchmark of replay at a tiny size: every turn goes through both, and both give the same."""

from pathlib import Path

import pytest
from recorded_talks import recorded_talks

from infra.bench.log.replaying import ROUNDS, bench_replaying
from infra.home import Home
from infra.kafka.jars import fetch_jars
from infra.settings import Settings
from schemas.errors import RejectedError
from schemas.events import ActionTaken

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


def test_all_turns_go_through_and_a_replay_gives_the_same_byte_for_byte(
    home: Home, model_path: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    settings = Settings.model_validate({"engine": {"model_path": str(model_path)}})
    jars = fetch_jars(home.jars, print)
    table = bench_replaying(recorded_talks(), 10, settings, jars=jars, folder=tmp_path, report=told.append)

    assert table.num_turns == 12  # two copies of six turns
    assert 0 < table.num_samples < table.num_turns  # the model's template is not the recorded one: no teacher prompts
    assert table.is_identical
    assert len(table.live_seconds) == len(table.replay_seconds) == len(told) == ROUNDS
    assert table.live_turns_per_s * sum(table.live_seconds) / ROUNDS == pytest.approx(table.num_turns)
    assert table.ratio == table.replay_turns_per_s / table.live_turns_per_s


def test_a_log_without_an_answered_turn_is_a_sentence(tmp_path: Path) -> None:
    unanswered = [record for record in recorded_talks(1) if isinstance(record.event, ActionTaken)]
    with pytest.raises(RejectedError, match="no action whose like could be written"):
        bench_replaying(unanswered, 10, Settings(), jars=(), folder=tmp_path, report=print)
