"""`Ways`: the program that tells of its turns (program.py), run in each of the ways that are compared.

Owns the files that tasks and findings travel in. Each run is a process of its own, ended when it has found something.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

import httpx
import orjson

from infra.bench.recorder import program
from infra.bench.recorder.content import Turn
from infra.components import ENVIRONMENT
from infra.process import Process, last_line
from schemas.errors import FatalError

_PROGRAM_S = 600.0  # the longest takes a minute
Found = dict[str, Any]  # as program.py writes it
Mode = Literal["paced", "steady", "burst"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to tell of turns. `side` is one of program.py's; `address`: where it tells them."""

    name: str
    side: Literal["nothing", "recorder", "opentelemetry"]
    python: str
    address: str = ""


@dataclass(slots=True)
class Ways:
    """Runs programs. `told`, `counts`: turns that each way was told, and what it says became of them, over all runs."""

    folder: Path
    told: dict[str, int] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def run(self, way: Way, mode: Mode, talks: Mapping[str, Sequence[Turn]], **task: object) -> Found:
        """What a program finds in one run.

        Args:    talks: turns to tell, by the name of their kind; task: what else the mode needs.
        Raises:  FatalError: it failed; the last line of its log says why.
        """
        place = self.folder / f"{next(self._numbers)}-{way.side}-{mode}"
        place.mkdir(parents=True)
        task_file, found_file, log_file = place / "task.json", place / "found.json", place / "program.log"
        where = {"address": way.address, "folder": str(place / "spool"), "found": str(found_file)}
        task_file.write_bytes(orjson.dumps({"mode": mode, "talks": talks, **where, **task}))
        process = Process.start(
            "program", [way.python, program.__file__, way.side, str(task_file)], log_file, ENVIRONMENT
        )
        try:
            process.wait(_PROGRAM_S)
        finally:
            process.kill()
        if not found_file.exists():
            raise FatalError(f"The benchmark's program ({way.name}) failed; {log_file} ends: {last_line(log_file)}")
        found: Found = orjson.loads(found_file.read_bytes())
        self._add(way, sum(map(len, talks.values())), found["counts"])
        task_file.unlink()  # a spool may stay; the words are many
        return found

    def _add(self, way: Way, num_turns: int, counts: Mapping[str, int]) -> None:
        self.told[way.name] = self.told.get(way.name, 0) + num_turns
        sums = self.counts.setdefault(way.name, {})
        for kind, number in counts.items():
            sums[kind] = sums.get(kind, 0) + number


def num_received(receiver: str) -> int:
    """Spans that the bare receiver at this url has had so far."""
    return int(httpx.get(f"{receiver}/received", trust_env=False).json())
