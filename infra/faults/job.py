"""`run_faults`: tries the faults of some parts, one after the other, and keeps what came of each.

    parts.py ──► Fault.run(Trial) ──► Outcome ──► results.jsonl ──► table.py
                                                       └──► a fault that held is not tried again

Nothing here judges: a fault's own module counts what was lost, against a ledger that is kept outside the system.
"""

import logging
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.faults.outcome import Fault, Outcome, Report, Trial
from infra.faults.parts import faults_of
from infra.faults.results import Result, Results, code_digest
from infra.settings import Settings, private
from schemas.errors import SettingsError


def run_faults(
    settings: Settings, parts: Sequence[str], *, only: str = "", seed: int, is_short: bool, out: Path, report: Report
) -> Sequence[Result]:
    """All of some parts, or the rows of them whose name has a text in it.

    Args:    only: that text, in any case; empty: every row.
             out: folder of the results; what held there with the same seed, size and code is not tried again.
    Returns: the results of these rows, tried now or earlier.
    Raises:  SettingsError: no such part, or no such row; FatalError: what the faults need cannot be started.
    """
    wanted = _wanted(parts, only, is_short=is_short)
    results = Results(out)
    # What did not hold is not done: the cause may lie outside the code, where the digest sees no mending.
    done = {_key(one) for one in results.read() if one.outcome.holds and one.code == code_digest()}
    for part, fault in wanted:
        if (part, fault.name, seed, is_short) in done:
            report(f"{fault.name}: held already")
            continue
        folder = out / "work" / part / re.sub(r"[^A-Za-z0-9]+", "-", fault.name)
        trial = Trial(settings=private(settings), seed=seed, is_short=is_short, folder=folder, report=report)
        results.add(_tried(part, fault, trial))
    asked = {(part, fault.name, seed, is_short) for part, fault in wanted}
    return [one for one in results.read() if _key(one) in asked]


def _wanted(parts: Sequence[str], only: str, *, is_short: bool) -> Sequence[tuple[str, Fault]]:
    every = [(part, fault) for part in parts for fault in faults_of(part) if fault.has_short or not is_short]
    wanted = [(part, fault) for part, fault in every if only.casefold() in fault.name.casefold()]
    if only and not wanted:  # an empty table would pass
        rows = f"row of {', '.join(parts)}{' with a short size' if is_short else ''}"
        message = f"No {rows} has {only!r} in its name; `nextstate faults --list` shows the parts."
        raise SettingsError(message)
    return wanted


def _tried(part: str, fault: Fault, trial: Trial) -> Result:
    shutil.rmtree(trial.folder, ignore_errors=True)
    trial.folder.mkdir(parents=True)
    trial.report(f"{fault.name} ...")
    started_s = time.monotonic()
    with _logging_to(trial.folder / "suite.log"):
        outcome = fault.run(trial)
    seconds = time.monotonic() - started_s
    trial.report(f"{fault.name}: {_said(outcome)} ({seconds:.0f} s)")
    if outcome.holds:
        shutil.rmtree(trial.folder)
    return Result(
        part=part,
        fault=fault.name,
        seed=trial.seed,
        is_short=trial.is_short,
        seconds=seconds,
        code=code_digest(),
        outcome=outcome,
    )


@contextmanager
def _logging_to(file: Path) -> Iterator[None]:
    """What the parts that a fault runs in this process have to say; on the terminal stands what came of it."""
    root, handler = logging.getLogger(), logging.FileHandler(file, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handlers, level = root.handlers, root.level
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers = handlers  # without those that the fault has left behind
        root.setLevel(level)
        handler.close()


def _said(outcome: Outcome) -> str:
    if not outcome.tried:
        return "could not be tried, which proves nothing"
    return f"{outcome.tried} tried, {outcome.lost} lost, {outcome.twice} twice" + "".join(
        f"; {sentence}" for sentence in outcome.wrong
    )


def _key(result: Result) -> tuple[str, str, int, bool]:
    return result.part, result.fault, result.seed, result.is_short
