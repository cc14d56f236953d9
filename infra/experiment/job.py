"""`run_table`: the runs of a table, some at a time, each in a process of its own; what is done already is left alone.

Owns which runs are due. A run that was interrupted begins again, one whose file was made with other settings stops the
job before it starts. Interrupting the job ends its runs, and loses nothing but what they had under way.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from infra.experiment.run import RunSettings, run_config
from infra.experiment.run_log import RunId, read_run, run_path
from infra.process import Process, last_line
from schemas.errors import RejectedError

POLL_S = 0.5
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # two runs share the cores; threads of one would only be in the other's way
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}

Command = Callable[[RunId], Sequence[str]]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Running:
    run_id: RunId
    process: Process
    log_file: Path


def run_table(run_ids: Sequence[RunId], settings: RunSettings, *, jobs: int, command: Command, report: Report) -> bool:
    """Runs what is not done.

    Args:    jobs: runs side by side; command: the command line of one run.
    Returns: whether all of them are done now.
    Raises:  RejectedError: a run that is done was made with other settings.
    """
    due = [run_id for run_id in run_ids if not is_done(run_id, settings)]
    report(f"{len(run_ids) - len(due)} of {len(run_ids)} runs are done")
    running: list[_Running] = []
    waiting = iter(due)
    try:
        while True:
            running += [_start(run_id, settings.out, command) for run_id in _next(waiting, jobs - len(running))]
            if not running:
                break
            time.sleep(POLL_S)
            for ended in [one for one in running if not one.process.is_running()]:
                running.remove(ended)
                report(_outcome(ended, settings))
    finally:
        for one in running:
            one.process.kill()
    return all(is_done(run_id, settings) for run_id in run_ids)


def is_done(run_id: RunId, settings: RunSettings) -> bool:
    """Whether a run's file is whole.

    Raises:  RejectedError: it was made with other settings, so that it does not belong into this table.
    """
    path = run_path(settings.out, run_id)
    found = read_run(path)
    if found is None or not found.done:
        return False
    config = run_config(run_id, settings)
    other = [name for name, value in config.items() if found.run.get(name) != value]
    if other:
        raise RejectedError(f"{path} was made with another {other[0]}: name another folder with --out, or remove it.")
    return True


def _next(waiting: Iterator[RunId], count: int) -> list[RunId]:
    return list(islice(waiting, count))


def _start(run_id: RunId, out: Path, command: Command) -> _Running:
    log_file = out / "logs" / f"{run_id}.log"
    return _Running(run_id, Process.start(str(run_id), command(run_id), log_file, ENVIRONMENT), log_file)


def _outcome(ended: _Running, settings: RunSettings) -> str:
    found = read_run(run_path(settings.out, ended.run_id))
    if found is None or not found.done:
        return f"{ended.run_id} ended early: {last_line(ended.log_file)}"
    return f"{ended.run_id}: {found.done['score']:.1f} sessions, {found.done['seconds']:.0f} s"
