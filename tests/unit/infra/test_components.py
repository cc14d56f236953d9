"""What the components are started with."""

from pathlib import Path

from infra.components import ARCHIVER, WORKERS, worker
from infra.home import Home
from infra.settings import Settings


def test_the_allocators_of_who_takes_much_for_a_moment_give_it_back(tmp_path: Path) -> None:
    of = {name: worker(name, Home(tmp_path), Settings()).environment for name in (*WORKERS, ARCHIVER)}
    assert {name for name, variables in of.items() if variables.get("MALLOC_ARENA_MAX") == "1"} == {
        "processors",
        "archiver",
    }
