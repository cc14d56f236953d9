"""`fuzz`: one target's inputs, in two workers that are watched, as an outcome.

A worker that dies (a crash of a library in C), or begins no input for minutes (a hang), is ended; its last input is
kept and named. Consumes the workers' tallies, produces the outcome's counts.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from infra.faults.fuzz.shares import Share
from infra.faults.fuzz.trying import Kind, Tally, tally_file, watched_file
from infra.faults.fuzz.watched import Watched
from infra.faults.fuzz.worker import Work, has_guide
from infra.faults.outcome import Outcome, Trial
from infra.process import Process
from schemas.errors import FatalError
from schemas.identity import digest_text

NUM_WORKERS = 2
SILENT_S = 180.0  # without another input: a hang. The gateway alone takes seconds to import on a slow machine
_POLL_S = 0.2
_SHOWN = 12  # kinds of wrong answers in one row


def fuzz(share: Share, trial: Trial) -> Outcome:
    """Try a target's inputs."""
    folder = trial.folder.absolute()
    total = share.size(is_short=trial.is_short)
    works = [
        Work(
            target=share.name,
            module=share.module,
            folder=str(folder),
            name=f"{share.name}-{number}",
            num_inputs=(total + number) // NUM_WORKERS,
            seed=int(digest_text(str(trial.seed), share.name, str(number))[:12], 16),
        )
        for number in range(NUM_WORKERS)
    ]
    started_s = time.monotonic()
    tallies = _watch([_Running.start(work) for work in works])
    return _outcome(share, tallies, time.monotonic() - started_s)


@dataclass(slots=True)
class _Running:
    """A worker at work."""

    work: Work
    process: Process
    watched: Watched
    begun: int = 0
    since_s: float = 0.0

    @classmethod
    def start(cls, work: Work) -> "_Running":
        folder = Path(work.folder)
        command = [sys.executable, "-m", "infra.faults.fuzz.worker", msgspec.json.encode(work).decode()]
        watched = Watched(watched_file(folder, work.name))
        process = Process.start(work.name, command, folder / f"{work.name}.log", {"PYTHONHASHSEED": "0"})
        return cls(work, process, watched, since_s=time.monotonic())

    def is_silent(self) -> bool:
        """Whether it has begun no input for too long."""
        if self.watched.begun != self.begun:
            self.begun, self.since_s = self.watched.begun, time.monotonic()
        return time.monotonic() - self.since_s > SILENT_S

    def ended(self, trouble: str | None) -> Tally:
        """Its tally. Args: trouble: why it was ended from outside."""
        self.process.kill()
        folder = Path(self.work.folder)
        file = tally_file(folder, self.work.name)
        tally = msgspec.json.decode(file.read_bytes(), type=Tally) if file.exists() else Tally()
        if trouble is None and tally.tried >= self.work.num_inputs:
            return tally
        if not self.watched.begun:
            log = folder / f"{self.work.name}.log"
            raise FatalError(f"A worker for {self.work.target} could not begin; {log} says why.")
        kept = folder / f"{self.work.name}-last.case"
        kept.write_bytes(msgspec.msgpack.encode([self.watched.newest]))
        sentence = trouble or f"the process died with exit code {self.process.popen.returncode}"
        tally.wrong["died"] = Kind(sentence=sentence, kept=str(kept), count=1)
        return tally


def _watch(running: list[_Running]) -> Sequence[Tally]:
    tallies = []
    try:
        while running:
            time.sleep(_POLL_S)
            for one in list(running):
                trouble = f"hangs: nothing for {SILENT_S:g} s" if one.is_silent() else None
                if trouble or not one.process.is_running():
                    running.remove(one)
                    tallies.append(one.ended(trouble))
    finally:
        for one in running:
            one.process.kill()
    return tallies


def _outcome(share: Share, tallies: Sequence[Tally], seconds: float) -> Outcome:
    tried = sum(tally.tried for tally in tallies)
    kinds = [kind for tally in tallies for kind in tally.wrong.values()]
    wrong = [
        f"{kind.count:,} x {kind.sentence} (try again: python -m infra.faults.fuzz {share.name} {kind.kept})"
        for kind in kinds
    ]
    makers = {maker: sum(tally.by_maker.get(maker, 0) for tally in tallies) for maker in tallies[0].by_maker}
    taken, refused = sum(tally.taken for tally in tallies), sum(tally.refused for tally in tallies)
    note = (
        f"{taken:,} taken, {refused:,} refused with a reason; made by "
        f"{', '.join(f'{maker} {count:,}' for maker, count in makers.items())}; {tried / seconds:,.0f}/s; slowest "
        f"{max(tally.slowest_s for tally in tallies):.2f} s"
    )
    note += "" if has_guide() else "; without a coverage-guided fuzzer, as atheris is not installed here"
    more = [f"and {len(wrong) - _SHOWN} other kinds"] if len(wrong) > _SHOWN else []
    return Outcome(tried=tried, lost=0, twice=0, wrong=(*wrong[:_SHOWN], *more), note=note)
