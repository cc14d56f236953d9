"""The heartbeat: alive during long work, silent when the loop hangs."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.heartbeat import Heartbeat

LONG_S = 20.0  # for what must come, however slow the machine; what must not come is decided by a clock of ours


class Clock:
    """Says the time that it is set to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.num_asked = 0

    def __call__(self) -> float:
        self.num_asked += 1
        return self.now_s


def eventually(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.005)


def touched_ns(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def test_it_beats_while_the_loop_is_busy_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "heartbeats" / "trainer"
    with Heartbeat(path, touch_every_s=0.01) as heartbeat:
        eventually(lambda: touched_ns(path) > 0)
        first_ns = touched_ns(path)
        eventually(lambda: touched_ns(path) > first_ns)
    assert not heartbeat._thread.is_alive()


def test_it_falls_silent_when_nothing_progresses_and_beats_again_when_it_does(tmp_path: Path) -> None:
    path, clock = tmp_path / "trainer", Clock()
    with Heartbeat(path, touch_every_s=0.005, longest_silence_s=10.0, clock_s=clock) as heartbeat:
        clock.now_s = 9.9
        first_ns = touched_ns(path)
        eventually(lambda: touched_ns(path) > first_ns)
        clock.now_s = 10.0
        eventually(lambda n=clock.num_asked: clock.num_asked > n + 1)  # a beat that had begun before is over
        silent_since_ns = touched_ns(path)
        eventually(lambda n=clock.num_asked: clock.num_asked > n + 3)
        assert touched_ns(path) == silent_since_ns
        heartbeat.progress()
        eventually(lambda: touched_ns(path) > silent_since_ns)


def test_a_full_disk_does_not_silence_it_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, num_refused = tmp_path / "trainer", 0

    def no_space(_: Path) -> None:
        nonlocal num_refused
        num_refused += 1
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk, Heartbeat(path, touch_every_s=0.005):
        disk.setattr(Path, "touch", no_space)
        eventually(lambda: num_refused > 2)
        disk.undo()
        since_ns = touched_ns(path)
        eventually(lambda: touched_ns(path) > since_ns)
