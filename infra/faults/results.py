"""`Results`: the outcomes that there are, one JSON line each, so that a suite of hours can go on where it was ended."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from infra.faults.outcome import Outcome
from schemas.errors import SettingsError
from schemas.identity import DIGEST_CHARS

_ROOT = Path(__file__).parents[2]
_CODE = ("infra", "processors", "schemas", "serving", "streams", "trainer")
_NO_CODE = {"__pycache__", "results"}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One fault that was tried to its end."""

    part: str
    fault: str
    seed: int
    is_short: bool
    seconds: float  # wall time
    code: str = ""  # `code_digest` of what was tried
    outcome: Outcome


@cache
def code_digest() -> str:
    """Of all of the product's own files: what other ones have shown says nothing of these."""
    hasher = hashlib.sha256()
    for path in sorted(path for folder in _CODE for path in (_ROOT / folder).rglob("*") if path.is_file()):
        name = path.relative_to(_ROOT)
        if _NO_CODE.isdisjoint(name.parts):
            hasher.update(f"{name.as_posix()}\0".encode() + path.read_bytes())
    return hasher.hexdigest()[:DIGEST_CHARS]


class Results:
    """The file of results of one folder. The last line of a fault counts."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "results.jsonl"

    def add(self, result: Result) -> None:
        """One more."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")

    def read(self) -> Sequence[Result]:
        """All, in the order in which they were first tried.

        Raises:  SettingsError: a line is none.
        """
        found: dict[tuple[str, str, int, bool], Result] = {}
        lines = self._file.read_bytes().splitlines() if self._file.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                one = msgspec.json.decode(line, type=Result)
            except msgspec.DecodeError as error:
                message = f"Line {number} of {self._file} is no result ({error}); delete it, and the fault runs again."
                raise SettingsError(message) from error
            found[one.part, one.fault, one.seed, one.is_short] = one
        return list(found.values())
