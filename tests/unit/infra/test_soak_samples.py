"""What a soak judges by: slopes and levels find growth, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from infra.faults.samples import Samples, disk_usage, growth, slope_per_hour
from infra.faults.soak import COMPONENTS, MIB, wrongs

TIMES = [10.0 * number for number in range(181)]


def sampled(**series: Any) -> Samples:
    flat: dict[Any, Any] = {
        **{("rss_bytes", name): [200.0 * MIB] * 181 for name in COMPONENTS},
        ("rss_bytes", "gateway"): [100.0 * MIB + (number % 7) * MIB for number in range(181)],
        ("rss_bytes", "kafka"): [400.0 * MIB + number * MIB for number in range(181)],
        ("num_handles", "gateway"): [40 + 30 * (number % 5 == 0) for number in range(181)],
        ("pid", "gateway"): [7] * 181,
        ("lag_records", "processors"): [number % 90 for number in range(181)],
        ("disk_bytes", "archive"): [number * MIB for number in range(181)],
    }
    named = {("_".join(name.split("_")[:-1]), name.split("_")[-1]): values for name, values in series.items()}
    return Samples({key: list(zip(TIMES, values, strict=True)) for key, values in {**flat, **named}.items()})


def test_what_goes_up_and_down_is_nothing_wrong() -> None:
    assert list(wrongs(sampled(), judges_growth=True)) == []


@pytest.mark.parametrize(
    ("series", "why"),
    [
        ({"rss_bytes_gateway": [100 * MIB + number * 0.1 * MIB for number in range(181)]}, "36.0 MiB an hour"),
        ({"rss_bytes_kafka": [900 * MIB] * 181}, "kafka takes 900 MiB"),
        ({"num_handles_gateway": [40 + number // 15 for number in range(181)]}, "9 more file handles"),
        ({"pid_gateway": [7] * 100 + [8] * 81}, "started again"),
        ({"lag_records_processors": [2 * number for number in range(181)]}, "falls behind"),
        ({"lag_records_processors": [0] * 90 + [2000] + [0] * 90}, "2000 records behind"),
        ({"disk_bytes_archive": [number**2 * MIB for number in range(181)]}, "grows faster"),
    ],
)
def test_what_grows_is_told(series: Any, why: str) -> None:
    (told,) = wrongs(sampled(**series), judges_growth=True)
    assert why in told


@pytest.mark.parametrize(
    ("unseen", "why"),
    [(("rss_bytes", "trainer"), "trainer was not seen"), (("lag_records", "processors"), "nobody said")],
)
def test_what_was_not_seen_is_told(unseen: Any, why: str) -> None:
    seen = sampled()
    del seen.series[unseen]
    (told,) = wrongs(seen, judges_growth=True)
    assert why in told


def test_half_a_minute_shows_no_growth_of_memory() -> None:
    steep = {"rss_bytes_gateway": [number * MIB for number in range(181)]}
    assert list(wrongs(sampled(**steep), judges_growth=False)) == []


def test_a_slope_is_per_hour_and_a_level_is_no_peak() -> None:
    assert slope_per_hour([(0.0, 5.0), (1800.0, 6.0), (3600.0, 7.0)]) == pytest.approx(2.0)
    assert growth([(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 99.0), *((4.0 + n, 1.0) for n in range(8))]) == 0.0


def test_the_warm_up_is_left_out_and_the_rest_is_written(tmp_path: Path) -> None:
    measured = sampled().since(1000.0)
    assert min(at_s for _, points in measured.of("pid") for at_s, _ in points) == 1000.0
    measured.write(tmp_path / "samples.csv")
    lines = (tmp_path / "samples.csv").read_text().splitlines()
    assert lines[0] == "at_s,measure,of,value"
    assert "1000.0,pid,gateway,7" in lines


def test_a_folder_is_counted_with_what_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes(100_000))
    assert disk_usage(tmp_path)["a"] >= 100_000
