"""`Samples`: what the processes of a stack hold, looked at again and again, as CSV and as what can be judged of it.

    psutil ──► memory, threads, file handles of each component ─┐
    Kafka  ──► how far its consumers are behind ────────────────┼──► Samples ──► samples.csv, slopes, levels
    disk   ──► bytes of each folder of the home ────────────────┘

One line of the CSV is one number: seconds since the beginning, of what, which, how much.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median
from typing import Literal

import psutil

from infra.faults.stage import RunningStack
from schemas.errors import RetryableError
from streams.lags import group_lags

Measure = Literal["rss_bytes", "num_threads", "num_handles", "lag_records", "disk_bytes", "pid"]
_BLOCK_BYTES = 512  # st_blocks counts in these, whatever the file system's own are
_HOUR_S = 3600.0
_PARTS = 4  # a level is the median of a quarter


@dataclass(slots=True)
class Samples:
    """Series by what was measured and of what: (seconds, value), in the order of time."""

    series: dict[tuple[Measure, str], list[tuple[float, float]]] = field(default_factory=dict)

    def take(self, at_s: float, stage: RunningStack, components: Sequence[str]) -> None:
        """One look at everything. Blocking, a second or so."""
        for name in components:
            self._look_at(at_s, name, stage.component(name).pid)
        with suppress(RetryableError):  # a busy broker; the next look asks again
            for group, lag in group_lags(stage.stack.kafka).items():
                self._add("lag_records", group, at_s, lag)
        for folder, num_bytes in disk_usage(stage.home.root).items():
            self._add("disk_bytes", folder, at_s, num_bytes)

    def since(self, at_s: float) -> "Samples":
        """Those from a time on."""
        later = {key: [one for one in points if one[0] >= at_s] for key, points in self.series.items()}
        return Samples({key: points for key, points in later.items() if len(points) >= _PARTS})

    def of(self, measure: Measure) -> Iterator[tuple[str, Sequence[tuple[float, float]]]]:
        """The series of one measure, by what they are of."""
        return ((name, points) for (kind, name), points in self.series.items() if kind == measure)

    def write(self, file: Path) -> None:
        """As CSV."""
        with file.open("w", newline="") as lines:
            writer = csv.writer(lines)
            writer.writerow(("at_s", "measure", "of", "value"))
            for (measure, name), points in self.series.items():
                writer.writerows((f"{at_s:.1f}", measure, name, f"{value:.0f}") for at_s, value in points)

    def _look_at(self, at_s: float, name: str, pid: int | None) -> None:
        if pid is None:
            return
        with suppress(psutil.Error):  # it has ended; the next look finds another process
            process = psutil.Process(pid)
            with process.oneshot():
                self._add("rss_bytes", name, at_s, process.memory_info().rss)
                self._add("num_threads", name, at_s, process.num_threads())
                self._add("num_handles", name, at_s, process.num_fds())
                self._add("pid", name, at_s, process.pid)

    def _add(self, measure: Measure, name: str, at_s: float, value: float) -> None:
        self.series.setdefault((measure, name), []).append((at_s, value))


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """How much a series grows in an hour: the least-squares line through it."""
    times, values = zip(*points, strict=True)
    return linear_regression(times, values).slope * _HOUR_S


def growth(points: Sequence[tuple[float, float]]) -> float:
    """From the level of the first quarter to that of the last; a level is the median, which no single peak moves."""
    quarter = max(1, len(points) // _PARTS)
    return median(value for _, value in points[-quarter:]) - median(value for _, value in points[:quarter])


def disk_usage(root: Path) -> Mapping[str, int]:
    """Bytes that each entry of a folder takes on the disk."""
    return {entry.name: _usage(entry) for entry in root.iterdir()}


def _usage(entry: Path) -> int:
    files = entry.rglob("*") if entry.is_dir() else iter((entry,))
    total = 0
    for file in files:
        with suppress(FileNotFoundError):  # removed meanwhile, as segments and checkpoints are
            total += file.lstat().st_blocks * _BLOCK_BYTES
    return total
