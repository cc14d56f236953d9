"""`Trying`: tries inputs on a target, counts what became of them, and keeps the first of each kind that was wrong.

A kept file holds all inputs since the target was fresh, the wrong one last, or that one alone where it is wrong by
itself; so it can be tried again. Owns the tally of one worker.
"""

import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from infra.faults.fuzz.case import unpack
from infra.faults.fuzz.target import Answer, Target, WrongError, check_reason
from infra.faults.fuzz.watched import Watched

FRESH_EVERY = 100  # inputs: so many may have led to one that is wrong
DEADLINE_S = 5.0  # processor time of one input, which is a thousand times what most take
_MOST_KINDS = 40  # of wrong answers are told


class Kind(msgspec.Struct):
    """Inputs that are wrong in one way."""

    sentence: str
    kept: str  # the first one's file
    count: int = 0


class Tally(msgspec.Struct):
    """What became of a worker's inputs. `by_maker`: how many each maker of inputs made."""

    taken: int = 0
    refused: int = 0  # whole or in part, each with its reason
    wrong: dict[str, Kind] = {}
    by_maker: dict[str, int] = {}
    slowest_s: float = 0.0  # processor time

    @property
    def tried(self) -> int:
        """All inputs."""
        return self.taken + self.refused + sum(kind.count for kind in self.wrong.values())


class Trying:
    """One worker's. Args: folder: for what is kept; name: of the worker, in the names of files."""

    def __init__(self, target: Target, folder: Path, name: str) -> None:
        self.tally = Tally()
        self._target = target
        self._folder = folder
        self._name = name
        self._watched = Watched(watched_file(folder, name))
        self._since_fresh: list[bytes] = []
        self._makers: Counter[str] = Counter()

    def one(self, data: bytes, maker: str) -> None:
        """Try an input."""
        if len(self._since_fresh) >= FRESH_EVERY:
            self._since_fresh.clear()
        if not self._since_fresh:
            self._target.fresh()
        self._since_fresh.append(data)
        self._makers[maker] += 1
        self._watched.begin(data)
        started_s = time.process_time()
        try:
            answer = tried(self._target, data)
        except BaseException as error:  # a panic of a library in Rust is no Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            self._keep(f"{_origin(error)}", _told(error), data)
        else:
            self.tally.refused += bool(answer.reasons)
            self.tally.taken += not answer.reasons
        took_s = time.process_time() - started_s
        self.tally.slowest_s = max(self.tally.slowest_s, took_s)
        if took_s > DEADLINE_S:
            self._keep("slow", f"took {took_s:.0f} s of processor time", data)

    def save(self) -> None:
        """Write the tally, for whoever started this worker."""
        self.tally.by_maker = dict(self._makers)
        tally_file(self._folder, self._name).write_bytes(msgspec.json.encode(self.tally))

    def _keep(self, kind: str, sentence: str, data: bytes) -> None:
        known = self.tally.wrong.get(kind)
        if known is None:
            if len(self.tally.wrong) >= _MOST_KINDS:
                kind, known = "more", self.tally.wrong.setdefault("more", Kind(sentence="wrong in other ways", kept=""))
            else:
                kept = self._folder / f"{self._name}-{len(self.tally.wrong)}.case"
                kept.write_bytes(msgspec.msgpack.encode(self._needed(data)))
                known = self.tally.wrong[kind] = Kind(sentence=sentence, kept=str(kept))
        known.count += 1

    def _needed(self, data: bytes) -> Sequence[bytes]:
        """The inputs that it takes to see it again."""
        self._target.fresh()
        try:
            tried(self._target, data)
        except BaseException:
            return [data]
        finally:
            before = self._since_fresh.copy()
            self._since_fresh.clear()
        return before


def tried(target: Target, data: bytes) -> Answer:
    """What a target answers to some bytes; raises where that is wrong."""
    answer = target.attempt(unpack(data))
    for reason in answer.reasons:
        check_reason(reason)
    if not answer.is_taken and not answer.reasons:
        raise WrongError("refused without a reason")
    return answer


def watched_file(folder: Path, name: str) -> Path:
    """Where a worker says what it tries."""
    return folder / f"{name}.watched"


def tally_file(folder: Path, name: str) -> Path:
    """Where a worker leaves its tally."""
    return folder / f"{name}.json"


def _told(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return text if isinstance(error, WrongError) else f"{type(error).__name__}: {text} ({_origin(error)})"


def _origin(error: BaseException) -> str:
    """The innermost place of our own, which tells one defect from another."""
    if isinstance(error, WrongError):
        return str(error)[:60]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/faults/fuzz/" not in frame.filename]
    ours = [frame for frame in frames if "site-packages" not in frame.filename and "/lib/python" not in frame.filename]
    last = (ours or frames)[-1:]
    place = f"{Path(last[0].filename).name}:{last[0].lineno}" if last else "no place"
    return f"{type(error).__name__} at {place}"
