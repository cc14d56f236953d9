"""A good log is clean; whatever is done to one of its records is caught and named, or invisible for a stated reason."""

import asyncio
import re
from pathlib import Path

import pytest
from audited_world import AuditedWorld, good_world, records_of
from sabotage import DONE, REASONS, cell, report_on

from infra.audit.checks import CHECKS
from streams.recorded import Recorded
from streams.topics import TOPICS

TEXT = (Path(__file__).parents[3] / "infra" / "audit" / "AUDIT.md").read_text()


@pytest.fixture(scope="module")
def world() -> AuditedWorld:
    return asyncio.run(good_world())


@pytest.fixture(scope="module")
def log(world: AuditedWorld) -> list[Recorded]:
    return records_of(world)


def documented(topic: str) -> list[str]:
    """The cells of a topic's row in the table of AUDIT.md."""
    table = TEXT[TEXT.index("| topic |") :]
    row = re.search(rf"^\| `{topic}` \| (.*) \|$", table, re.MULTILINE)
    assert row is not None, topic
    return row[1].split(" | ")


def test_a_good_log_of_every_topic_is_clean(world: AuditedWorld, log: list[Recorded]) -> None:
    report = report_on(log, world.now_ms)
    assert [finding for tally in report.tallies for finding in tally.failures] == []
    assert all(number > 1 for number in report.records.values()), report.records
    assert all(tally.num_checked for tally in report.tallies), "a check had nothing to check"


@pytest.mark.parametrize("done", DONE)
@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS])
def test_sabotage_is_caught_or_invisible_as_documented(
    topic: str, done: str, world: AuditedWorld, log: list[Recorded]
) -> None:
    assert cell(log, topic, done, world.now_ms) == documented(topic)[DONE.index(done)]


def test_the_reasons_and_the_checks_are_documented() -> None:
    for number, reason in enumerate(REASONS, 1):
        assert f"{number}. {reason}\n" in TEXT
    for check in CHECKS:
        assert f"| `{check.name}` | {check.promise} | {check.blind} |" in TEXT
