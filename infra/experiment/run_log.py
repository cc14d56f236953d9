"""`RunLog`: one run as JSON lines: what it was configured with, its sessions and updates, how it ended.

Owns the file's form. A run is done when its last line says so; what a run left that was interrupted is overwritten by
its next start.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import orjson

from schemas.errors import RejectedError

Line = dict[str, Any]

MODES = ("joint", "joint, live", "apart", "apart, live")  # as a table shows them


@dataclass(frozen=True, slots=True, kw_only=True)
class RunId:
    """A run's place in the table. `user`: the one who talks alone, None where all learn jointly."""

    method: str
    user: str | None
    seed: int
    live: bool = False  # through a whole stack, instead of the pipeline in one process

    @property
    def mode(self) -> str:
        """Which of `MODES`."""
        return f"{'joint' if self.user is None else 'apart'}{', live' if self.live else ''}"

    def __str__(self) -> str:
        users = "joint" if self.user is None else f"apart-{self.user}"
        return f"{self.method}.{users}.{self.seed}{'.live' if self.live else ''}"

    @classmethod
    def parse(cls, text: str) -> "RunId":
        """The id that was written so.

        Raises:  RejectedError: it is none.
        """
        live = text.endswith(".live")
        match text.removesuffix(".live").split("."):
            case [method, "joint", seed] if seed.isdecimal():
                return cls(method=method, user=None, seed=int(seed), live=live)
            case [method, mode, seed] if mode.startswith("apart-") and seed.isdecimal():
                return cls(method=method, user=mode.removeprefix("apart-"), seed=int(seed), live=live)
        raise RejectedError(
            f"{text!r} is no run: write METHOD.joint.SEED or METHOD.apart-USER.SEED, and .live behind it for a stack."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLog:
    """A run that was read back. `done` is empty while it is not."""

    run: Line
    sessions: Sequence[Line] = field(default_factory=list)
    updates: Sequence[Line] = field(default_factory=list)
    done: Line = field(default_factory=dict)


class RunWriter:
    """Writes a run's lines as they come. Args: config: all that the run's outcome depends on."""

    def __init__(self, file: TextIO, config: Line) -> None:
        self._file = file
        self.write("run", config)

    def write(self, kind: str, fields: Line) -> None:
        """Add a line, on disk when this returns as far as this process is concerned."""
        self._file.write(orjson.dumps({"kind": kind, **fields}).decode() + "\n")
        self._file.flush()


def runs_in(out: Path) -> list[RunId]:
    """The runs that have a file in a folder, whole or not."""
    return [RunId.parse(file.stem) for file in sorted((out / "runs").glob("*.jsonl"))]


def run_path(out: Path, run_id: RunId) -> Path:
    """Where a run's lines lie."""
    return out / "runs" / f"{run_id}.jsonl"


def read_run(path: Path) -> RunLog | None:
    """What a run wrote; None where it never began. A last line that was cut off is as if it were not there."""
    if not path.is_file():
        return None
    lines: list[Line] = []
    for raw in path.read_bytes().splitlines():
        try:
            lines.append(orjson.loads(raw))
        except orjson.JSONDecodeError:
            break

    def of_kind(kind: str) -> list[Line]:
        return [line for line in lines if line["kind"] == kind]

    runs, ends = of_kind("run"), of_kind("done")
    if not runs:
        return None
    return RunLog(run=runs[0], sessions=of_kind("session"), updates=of_kind("update"), done=ends[0] if ends else {})
