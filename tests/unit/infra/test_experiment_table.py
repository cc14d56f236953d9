"""Runs that are done are skipped, others run; what they say becomes rows, a table and curves."""

import math
import statistics
import sys
from pathlib import Path

import orjson
import pytest

from infra.commands.experiment import default_methods, in_one_table, wanted_runs
from infra.experiment.drift import Drift
from infra.experiment.figures import draw_curves, rolling
from infra.experiment.job import is_done, run_table
from infra.experiment.run import RunSettings, run_config
from infra.experiment.run_log import RunId, RunWriter, read_run, run_path
from infra.experiment.table import half_width, markdown, read_runs, rows_of
from schemas.errors import RejectedError

JOINT = [RunId(method="hybrid_paper", user=None, seed=seed) for seed in (0, 1, 2)]
DRIFT = dict.fromkeys(Drift.__slots__, 0.5)
HELD_OUT = {"student": 0.25}


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(cap=6, out=tmp_path / "out", questions=None)


def write_run(run_id, settings, flags="nnyyy", *, done=True, **changes):
    """A run in which every user's first answers satisfied like these flags."""
    path = run_path(settings.out, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    config = run_config(run_id, settings) | changes
    with path.open("w") as file:
        writer = RunWriter(file, config)
        for number, flag in enumerate(flags, start=1):
            for user in config["users"]:
                writer.write("session", {"user": user, "number": number, "satisfied": flag == "y"})
        if done:
            writer.write("done", {"score": 5.0, "seconds": 60, "cpu_seconds": 60, "held_out": HELD_OUT, "drift": DRIFT})


def child(settings, body):
    """A command that does `body` with `path`, the run's file, and `line`, a finished run's last line."""

    def command(run_id):
        last = orjson.dumps({"kind": "done", "score": 4.0, "seconds": 1, "held_out": HELD_OUT, "drift": DRIFT}).decode()
        first = orjson.dumps({"kind": "run", **run_config(run_id, settings)}).decode()
        path = run_path(settings.out, run_id)
        setup = (
            f"import pathlib, sys; path = pathlib.Path({str(path)!r}); path.parent.mkdir(parents=True, exist_ok=True)"
        )
        return [sys.executable, "-S", "-c", f"{setup}\nfirst, last = {first!r}, {last!r}\n{body}"]

    return command


FINISH = "path.write_text(first + chr(10) + last + chr(10))"


def test_only_what_is_not_done_is_run(settings):
    write_run(JOINT[0], settings)
    write_run(JOINT[1], settings, done=False)
    said = []
    before = run_path(settings.out, JOINT[0]).read_text()
    assert run_table(JOINT, settings, jobs=2, command=child(settings, FINISH), report=said.append)
    assert said[0] == "1 of 3 runs are done"
    assert sorted(line.split(":")[0] for line in said[1:]) == ["hybrid_paper.joint.1", "hybrid_paper.joint.2"]
    assert run_path(settings.out, JOINT[0]).read_text() == before


def test_a_run_that_fails_is_named_with_its_last_line_and_the_others_go_on(settings):
    said = []
    body = f"if '.1.' in path.name: sys.exit('no memory left')\n{FINISH}"
    assert not run_table(JOINT, settings, jobs=1, command=child(settings, body), report=said.append)
    assert "hybrid_paper.joint.1 ended early: no memory left" in said
    assert [is_done(run_id, settings) for run_id in JOINT] == [True, False, True]


def test_no_more_than_the_given_number_run_side_by_side(settings):
    body = (
        "import time; mark = path.with_suffix('.here'); mark.touch(); time.sleep(0.3)\n"
        "assert len(list(path.parent.glob('*.here'))) <= 2; mark.unlink()\n" + FINISH
    )
    assert run_table(JOINT, settings, jobs=2, command=child(settings, body), report=lambda _: None)


def test_a_run_of_other_settings_is_not_mixed_in(settings):
    write_run(JOINT[0], settings, cap=72)
    with pytest.raises(RejectedError, match="another cap"):
        run_table(JOINT, settings, jobs=1, command=child(settings, FINISH), report=lambda _: None)


def test_a_line_that_was_cut_off_is_a_run_that_is_not_done(settings):
    write_run(JOINT[0], settings)
    path = run_path(settings.out, JOINT[0])
    path.write_bytes(path.read_bytes()[:-9])
    assert not is_done(JOINT[0], settings)
    assert len(read_run(path).sessions) == 15


def test_a_row_has_the_mean_over_seeds_and_its_interval(settings):
    for run_id, flags in zip(JOINT, ("yyy", "nyyy", "nnnnnn"), strict=True):
        write_run(run_id, settings, flags)
    (row,) = rows_of(read_runs(settings.out, JOINT))
    assert list(row.scores) == [3, 4, 6]
    assert half_width(row.scores) == pytest.approx(4.303 * statistics.stdev([3, 4, 6]) / math.sqrt(3), rel=1e-3)
    assert list(row.shares) == [1, 3 / 4, 0]
    assert row.scored == pytest.approx(2 / 3)
    assert row.by_user == {
        "student": pytest.approx(13 / 3),
        "ta": pytest.approx(13 / 3),
        "teacher": pytest.approx(13 / 3),
    }
    table = markdown([row])
    assert "| 4.3 ± 3.8 |" in table
    assert "| 58% ± 129% |" in table


def test_one_seed_has_no_interval():
    assert half_width([3.0]) is None


def test_apart_a_seed_counts_when_all_its_users_are_done(settings):
    wanted = wanted_runs("hybrid_paper", "0-1", "apart")
    for run_id in wanted[:-1]:
        write_run(run_id, settings, "yyy" if run_id.user == "ta" else "nyyy")
    (row,) = rows_of(read_runs(settings.out, wanted))
    assert row.mode == "apart"
    assert list(row.scores) == [pytest.approx(11 / 3)]


def test_live_runs_are_rows_of_their_own_beside_the_others_of_their_seeds(settings):
    for run_id in JOINT:
        write_run(run_id, settings, "nyyy")
    live = wanted_runs("hybrid_paper", "1-2", "joint", live=True)
    for run_id in live:
        write_run(run_id, settings, "yyy")
    rows = rows_of(read_runs(settings.out, in_one_table(live, settings.out)))
    assert [(row.mode, list(row.scores)) for row in rows] == [("joint", [4, 4, 4]), ("joint, live", [3, 3])]
    assert "| joint, live |" in markdown(rows)
    assert "Live: through Kafka" in markdown(rows)
    assert "Live:" not in markdown(rows[:1])


def test_what_a_memory_in_the_prompt_does_not_reach_is_not_told_of_it(settings):
    run_ids = wanted_runs("none,prompt_memory", "0", "joint")
    for run_id in run_ids:
        write_run(run_id, settings, "nyyy")
    learned, drifted, _ = markdown(rows_of(read_runs(settings.out, run_ids))).split("\n\n")
    held_out = [line.split("|")[-2].strip() for line in learned.splitlines()[2:]]
    assert held_out[0].endswith("%")
    assert not held_out[1]
    assert "prompt_memory" not in drifted


def test_live_means_the_methods_that_a_stack_can_be_set_to():
    assert "none" in default_methods(live=False).split(",")
    assert set(default_methods(live=True).split(",")) == {"hybrid_paper", "opd", "combined"}


def test_a_run_that_is_named_twice_is_run_once():
    assert wanted_runs("opd,opd", "0,0", "joint") == wanted_runs("opd", "0", "joint")


def test_seeds_that_run_backwards_are_refused():
    with pytest.raises(RejectedError, match="'4-0' runs backwards"):
        wanted_runs("opd", "4-0", "joint")


def test_seeds_are_a_range_or_a_list_and_come_before_methods():
    assert [str(run_id) for run_id in wanted_runs("none,opd", "3-4", "joint")] == [
        "none.joint.3",
        "opd.joint.3",
        "none.joint.4",
        "opd.joint.4",
    ]
    assert [run_id.seed for run_id in wanted_runs("none", "7,2", "joint")] == [7, 2]
    for wrong in ("", "a", "1-", "1,,2"):
        with pytest.raises(RejectedError, match="names no seeds"):
            wanted_runs("none", wrong, "joint")


def test_a_rolling_share_looks_at_the_last_sessions():
    assert rolling([True, False, False, False, False, True]) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 5])


def test_curves_are_drawn_alike_each_time(settings, tmp_path):
    for run_id in JOINT[:2]:
        write_run(run_id, settings)
    runs = read_runs(settings.out, JOINT)
    pictures = []
    for name in ("a.png", "b.png"):
        draw_curves(runs, tmp_path / name)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(b"\x89PNG")
