import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from infra.process import Process, with_tethered_children

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def start(tmp_path: Path, code: str) -> Process:
    return Process.start("child", [sys.executable, "-c", code], tmp_path / "logs" / "child.log", {})


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    process = start(tmp_path, "print('hello')")
    assert process.wait(10)
    assert (tmp_path / "logs" / "child.log").read_text() == "hello\n"


def test_a_stop_ends_a_process_that_ignores_it(tmp_path: Path) -> None:
    process = start(tmp_path, IGNORES_SIGTERM)
    assert eventually(lambda: "up" in (tmp_path / "logs" / "child.log").read_text())
    process.stop(deadline_s=0.2)
    assert process.popen.returncode == -signal.SIGKILL


def test_a_kill_takes_what_a_dead_process_left_behind(tmp_path: Path) -> None:
    process = start(tmp_path, "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)")
    assert process.wait(10)
    grandchild = int((tmp_path / "logs" / "child.log").read_text())
    assert psutil.pid_exists(grandchild)
    process.kill()
    assert eventually(lambda: not alive(grandchild))


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from infra.process import Process, with_tethered_children\n"
        f"child = Process.start('child', ['sleep', '60'], Path({str(tmp_path / 'log')!r}), {{}})\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout:
        child = int(parent.stdout.readline())
        assert eventually(lambda: psutil.Process(child).name() == "sleep")
        os.kill(parent.pid, signal.SIGKILL)
        assert eventually(lambda: not alive(child))


def test_what_a_child_started_dies_with_it_from_its_first_moment(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "code = 'import time; print(flush=True); time.sleep(60)'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)"
    )
    log_file = tmp_path / "child.log"
    process = Process.start("child", [sys.executable, "-c", code], log_file, with_tethered_children({}))
    assert eventually(lambda: log_file.read_text().endswith("\n"))
    grandchild = int(log_file.read_text())
    os.kill(process.pid, signal.SIGKILL)
    assert eventually(lambda: not alive(grandchild))
    process.kill()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
