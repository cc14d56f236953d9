"""`experiment users`: runs the table of the simulated users, or one run of it, and writes table and curves."""

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import click

from infra.experiment.job import Report, is_done, run_table
from infra.experiment.methods import IN_TABLE, METHODS
from infra.experiment.questions import QUESTIONS
from infra.experiment.run import RunSettings, question_sets, run_config
from infra.experiment.run_log import RunId, runs_in
from infra.experiment.world import OpenWorld
from infra.home import Home
from infra.model import prepare_small_model
from infra.prepare import runtime_home
from infra.settings import Settings
from schemas.errors import RejectedError

STACK_HOME = ".nextstate"  # in the folder of the runs; a live run's stack has its own below


def run_users(settings: Settings, run_ids: Sequence[RunId], shared: RunSettings, *, jobs: int, report: Report) -> int:
    """All runs that are not done, then the table. Returns: 0 where all are done."""
    question_sets(shared)
    for run_id in run_ids:
        run_config(run_id, shared)  # refuses what cannot be run before anything is
    shown = in_one_table(run_ids, shared.out)
    for run_id in shown:
        is_done(run_id, shared)  # refuses what does not belong into one table
    home = runtime_home(settings)
    model_path = _prepared(settings, home, report)

    def command(run_id: RunId) -> list[str]:
        own = ["--set", f"engine.model_path={model_path}", "--set", f"runtime_home={home.root}"]
        return [sys.executable, "-m", "infra.cli", *sys.argv[1:], "--run-only", str(run_id), *own]

    if any(run_id.live for run_id in run_ids):
        jobs = 1  # a stack takes all cores there are
    all_done = run_table(run_ids, shared, jobs=jobs, command=command, report=report)
    _show(shown, shared.out, report)
    return 0 if all_done else 1


def run_single(settings: Settings, run_id: RunId, shared: RunSettings, report: Report) -> int:
    """One run, in this process."""
    from infra.experiment.run import run_one

    run_config(run_id, shared)
    run_one(run_id, shared, _world(settings, run_id, shared.out, report))
    return 0


def wanted_runs(methods: str, seeds: str, mode: str, *, live: bool = False) -> list[RunId]:
    """The runs that the options name, seed by seed, so that an interrupted table has whole seeds.

    Args:    methods: names with commas; seeds: "0-4" or "3,7"; mode: "joint" or "apart".
    Raises:  RejectedError: seeds that are none.
    """
    users: tuple[str | None, ...] = (None,) if mode == "joint" else tuple(QUESTIONS)
    wanted = [
        RunId(method=method.strip(), user=user, seed=seed, live=live)
        for seed in _seeds(seeds)
        for method in methods.split(",")
        for user in users
    ]
    return list(dict.fromkeys(wanted))  # one named twice is run once


def default_methods(*, live: bool) -> str:
    """Those of the table; live, those that the settings of a stack can say."""
    return ",".join(name for name in IN_TABLE if METHODS[name].fits_stack or not live)


def in_one_table(run_ids: Iterable[RunId], out: Path) -> list[RunId]:
    """The runs that are asked for, and all that lie in the folder: a table shows everything that was run."""
    return list(dict.fromkeys([*run_ids, *runs_in(out)]))


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    numbers = text.split(",") if not last else [first, last]
    if not all(number.isdecimal() for number in numbers):
        raise RejectedError(f"--seeds {text!r} names no seeds: write 0-4, or 3,7.")
    seeds = [int(number) for number in numbers] if not last else list(range(int(first), int(last) + 1))
    if not seeds:
        raise RejectedError(f"--seeds {text!r} runs backwards: write the smaller number first.")
    return seeds


def _world(settings: Settings, run_id: RunId, out: Path, report: Report) -> OpenWorld:
    home = runtime_home(settings)
    if run_id.live:
        from infra.experiment.live import open_live

        own = {"home": (out / STACK_HOME).absolute(), "runtime_home": home.root}
        return partial(open_live, settings=settings.model_copy(update=own), report=report)
    from infra.experiment.rig import open_rig

    return partial(open_rig, model_path=_prepared(settings, home, report), home=home)


def _prepared(settings: Settings, home: Home, report: Report) -> Path:
    """The model's folder; makes what is not there yet, so that runs side by side do not both make it."""
    from serving.config import JudgeConfig
    from serving.judges.factory import make_judge

    make_judge(JudgeConfig(), home.judge)
    if settings.engine.model_path:
        return Path(settings.engine.model_path)
    return prepare_small_model(home.models, report)


def _show(run_ids: Sequence[RunId], out: Path, report: Report) -> None:
    from infra.experiment.figures import draw_curves
    from infra.experiment.table import markdown, read_runs, rows_of

    runs = read_runs(out, run_ids)
    if not runs:
        return
    text = markdown(rows_of(runs))
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    draw_curves(runs, out / "curves.png")
    click.echo(text)
    report(f"The table and its curves are in {out}")
