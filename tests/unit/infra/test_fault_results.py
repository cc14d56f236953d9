"""The fault suite's results that are kept, and the README's table of them."""

from pathlib import Path

from infra.faults import results
from infra.faults.parts import PARTS, faults_of
from infra.faults.results import Results
from infra.faults.table import table_of

KEPT = Path(results.__file__).parent / "results"
README = Path(__file__).parents[3] / "README.md"


def test_the_readme_shows_every_result_that_is_kept() -> None:
    kept = Results(KEPT).read()
    assert kept
    assert table_of(kept) in README.read_text()


def test_what_is_kept_is_of_full_size_and_of_faults_that_there_are() -> None:
    names = {(part, fault.name) for part in PARTS for fault in faults_of(part)}
    for one in Results(KEPT).read():
        assert (one.part, one.fault) in names
        assert not one.is_short
        assert one.outcome.holds, one
