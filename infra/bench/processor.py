"""Processor time: what a process and its children have used, and all of the machine. In seconds, since each began."""

import psutil

_NOT_BUSY = ("idle", "iowait", "steal")


def process_s(pid: int) -> float:
    """Of a process and its children, all threads."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def machine_s() -> float:
    """Of all processes on this machine."""
    times = psutil.cpu_times()._asdict()
    guests = times.get("guest", 0.0) + times.get("guest_nice", 0.0)  # already in user and nice
    return float(sum(times.values()) - guests - sum(times.get(name, 0.0) for name in _NOT_BUSY))


def child_pids() -> set[int]:
    """The processes that this one has started, and that still run."""
    return {child.pid for child in psutil.Process().children()}
