"""Kafka goes, and its cluster's leader dies, while people talk: they are served, and nothing acknowledged is lost."""

from pathlib import Path

import pytest

from infra.faults.outcome import Outcome, Trial
from infra.faults.parts import faults_of
from infra.home import Home
from infra.settings import Settings

pytestmark = [pytest.mark.long, pytest.mark.kafka, pytest.mark.timeout(900)]


def tried(part: str, name: str, home: Home, folder: Path) -> Outcome:
    [fault] = [one for one in faults_of(part) if one.name == name]
    settings = Settings(home=folder / "unused", runtime_home=home.root)
    return fault.run(Trial(settings=settings, seed=1, is_short=True, folder=folder, report=print))


def test_a_frozen_kafka_costs_one_deadline_and_no_event(home: Home, tmp_path: Path) -> None:
    outcome = tried("kafka_away", "Kafka away: frozen", home, tmp_path)
    assert outcome.holds, outcome
    assert (outcome.tried, outcome.failed_requests, len(outcome.recovery_s)) == (1, 0, 1)


def test_where_nothing_can_be_kept_serving_on_says_so(home: Home, tmp_path: Path) -> None:
    outcome = tried("full_spool", "full spool, set to serve", home, tmp_path)
    assert outcome.holds, outcome
    assert (outcome.tried, outcome.failed_requests, len(outcome.recovery_s)) == (1, 0, 1)


def test_a_leader_dies_and_what_it_acknowledged_does_not(home: Home, tmp_path: Path) -> None:
    outcome = tried("three_brokers", "three brokers, the leader killed", home, tmp_path)
    assert outcome.holds, outcome
    assert (outcome.tried, outcome.failed_requests, len(outcome.recovery_s)) == (1, 0, 1)
