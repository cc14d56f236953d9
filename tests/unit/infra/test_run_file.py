import subprocess
import sys
from pathlib import Path

import pytest

from infra.home import Home
from infra.run_file import ComponentState, RunFile, RunState
from schemas.errors import FatalError

STATE = RunState(
    pid=1,
    started_ms=2,
    policy="p",
    bootstrap_servers="b",
    topic_prefix="",
    gateway_url="g",
    engine_url="e",
    ready=True,
    components={"kafka": ComponentState(state="healthy", pid=3, num_starts=1, log_file="l")},
)


def test_what_is_written_is_read_while_the_lock_is_held(tmp_path: Path) -> None:
    run_file = RunFile(Home(tmp_path))
    with run_file.held():
        run_file.write(STATE)
        assert RunFile(Home(tmp_path)).read() == STATE
    assert run_file.read() is None


def test_a_second_stack_in_one_home_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with RunFile(Home(tmp_path)).held():
        RunFile(Home(tmp_path)).write(STATE)
        second = RunFile(Home(tmp_path)).held()
        with pytest.raises(FatalError, match=r"^A stack runs already in .* \(process 1\): .*nextstate down"):
            second.__enter__()


def test_the_file_of_a_killed_supervisor_is_stale(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from infra.home import Home; from infra.run_file import RunFile\n"
        f"with RunFile(Home(Path({str(tmp_path)!r}))).held(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    run_file = RunFile(Home(tmp_path))
    run_file.write(STATE)
    assert run_file.read() is None
    assert not run_file.is_held()


def test_an_empty_home_runs_nothing(tmp_path: Path) -> None:
    assert RunFile(Home(tmp_path / "none")).read() is None
