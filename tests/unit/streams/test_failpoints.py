"""Failpoints: off by default, and struck once, where and when they were ordered."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import SettingsError
from streams import failpoints
from streams.failpoints import FAILPOINTS, VARIABLE, failpoint, hit_by, order, was_hit, withdraw

PLACE = "trainer.trained"
PROGRAM = f"""
from streams.failpoints import failpoint
for visit in range(1, 6):
    try:
        failpoint({PLACE!r})
    except OSError as error:
        print("failed:", error.strerror, flush=True)
    print("passed", visit, flush=True)
"""


def run(folder: Path | None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **({VARIABLE: str(folder)} if folder else {})}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_without_orders_nothing_happens(tmp_path: Path) -> None:
    assert failpoint is failpoints._off, "the tests themselves run without failpoints"
    assert run(None).stdout == run(tmp_path).stdout == "".join(f"passed {visit}\n" for visit in range(1, 6))


def test_a_kill_comes_at_its_visit_and_once(tmp_path: Path) -> None:
    order(tmp_path, PLACE, "kill", 3)
    assert hit_by(tmp_path, PLACE) is None
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "passed 1\npassed 2\n")
    assert was_hit(tmp_path, PLACE)
    assert hit_by(tmp_path, PLACE) not in {None, os.getpid()}
    assert run(tmp_path).returncode == 0


def test_a_failure_is_the_error_that_was_ordered(tmp_path: Path) -> None:
    order(tmp_path, PLACE, "fail", 2, "ENOSPC")
    assert run(tmp_path).stdout.splitlines()[:3] == ["passed 1", "failed: No space left on device", "passed 2"]


def test_an_order_can_be_taken_back(tmp_path: Path) -> None:
    order(tmp_path, PLACE, "kill")
    assert not withdraw(tmp_path, PLACE)
    assert run(tmp_path).returncode == 0


def test_a_new_order_forgets_the_old_hit(tmp_path: Path) -> None:
    order(tmp_path, PLACE, "hang", 1, "0")
    run(tmp_path)
    assert was_hit(tmp_path, PLACE)
    order(tmp_path, PLACE, "hang", 1, "0")
    assert not was_hit(tmp_path, PLACE)


@pytest.mark.parametrize(("name", "action"), [("trainer.nowhere", "kill"), (PLACE, "explode")])
def test_an_order_that_means_nothing_is_refused(tmp_path: Path, name: str, action: str) -> None:
    with pytest.raises(SettingsError, match=f"There is no failpoint '{name}' or no action '{action}'"):
        order(tmp_path, name, action)


def test_the_list_of_places_names_components() -> None:
    assert set(FAILPOINTS.values()) == {"gateway", "processors", "trainer", "reloader", "archiver"}


def test_every_place_is_in_the_code_once_and_no_other() -> None:
    root = Path(failpoints.__file__).parent.parent
    files = [file for part in ("streams", "processors", "trainer", "serving") for file in (root / part).rglob("*.py")]
    passed = [name for file in files for name in re.findall(r'failpoint\("([^"]+)"\)', file.read_text())]
    assert sorted(passed) == sorted(FAILPOINTS)
