"""The heartbeat: alive during long work, silent when the loop hangs."""

import time
from pathlib import Path

from trainer.heartbeat import Heartbeat


def wait_until(path: Path, is_touched_after_ns: int, timeout_s: float = 5.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if path.exists() and path.stat().st_mtime_ns > is_touched_after_ns:
            return True
        time.sleep(0.01)
    return False


def test_it_beats_while_the_loop_is_busy_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "heartbeats" / "trainer"
    with Heartbeat(path, touch_every_s=0.01):
        assert wait_until(path, 0)
        assert wait_until(path, path.stat().st_mtime_ns)
    last_ns = path.stat().st_mtime_ns
    assert not wait_until(path, last_ns, timeout_s=0.1)


def test_it_falls_silent_when_nothing_progresses_and_beats_again_when_it_does(tmp_path: Path) -> None:
    path = tmp_path / "trainer"
    with Heartbeat(path, touch_every_s=0.01, longest_silence_s=0.2) as heartbeat:
        assert wait_until(path, 0)
        time.sleep(0.4)
        silent_since_ns = path.stat().st_mtime_ns
        assert not wait_until(path, silent_since_ns, timeout_s=0.1)
        heartbeat.progress()
        assert wait_until(path, silent_since_ns)
