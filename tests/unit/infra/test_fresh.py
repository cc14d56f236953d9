"""A stack that starts from nothing has an empty home and a log of its own, and shares what is costly to make."""

from pathlib import Path

import pytest

from infra.demo.job import demo_settings
from infra.fresh import empty, fresh
from infra.home import Home
from infra.run_file import RunFile
from infra.settings import Settings
from schemas.errors import FatalError
from streams.config import KafkaConfig

OURS, THEIRS = Settings(), Settings(kafka=KafkaConfig(bootstrap_servers="b:1", topic_prefix="team."))


def test_each_run_on_a_broker_that_stays_has_a_log_of_its_own() -> None:
    assert fresh(OURS, "demo").kafka == OURS.kafka
    prefixes = {fresh(THEIRS, "demo").kafka.topic_prefix for _ in range(3)}
    assert len(prefixes) == 3
    assert all(prefix.startswith("team.demo-") and prefix.endswith(".") for prefix in prefixes)


def test_jars_and_models_stay_where_they_were() -> None:
    assert fresh(OURS, "demo").home == OURS.home / "demo"
    assert fresh(OURS, "demo").runtime_home == OURS.home
    shared = OURS.model_copy(update={"runtime_home": Path("/shared")})
    assert fresh(shared, "demo").runtime_home == Path("/shared")


def test_a_demo_is_drawn_from_its_seed() -> None:
    assert demo_settings(OURS, 3).trainer.seed == 3


def test_what_an_earlier_run_left_is_removed_unless_it_still_runs(tmp_path: Path) -> None:
    home = Home(tmp_path / "demo")
    empty(home, "demo")  # the first one
    home.logs.mkdir(parents=True)
    with RunFile(home).held(), pytest.raises(FatalError, match="A demo is already running in"):
        empty(home, "demo")
    assert home.logs.is_dir()
    empty(home, "demo")
    assert not home.root.exists()
