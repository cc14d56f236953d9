"""`failpoint`: named places at which the fault suite makes a process die, hang or fail, chosen to the very line.

They are off unless the variable `NEXTSTATE_FAILPOINTS` names a folder when the process starts: then, and only then, a
place looks there for a file of its own name, its order: what happens, and at which visit. `kill 3`, `hang 1 30`
(seconds) or `fail 2 ENOSPC` (an OSError). The file becomes `<name>.hit` before it happens, and holds the process's id:
so a place strikes once, and whoever gave the order can tell who carried it out, also after the process is gone.
"""

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from schemas.errors import SettingsError

VARIABLE = "NEXTSTATE_FAILPOINTS"
_HIT = ".hit"
_ACTIONS = ("kill", "hang", "fail")

FAILPOINTS: Mapping[str, str] = MappingProxyType(
    {  # every place, in the order of the code's own steps, and the component whose process passes it
        "gateway.before-emit": "gateway",
        "gateway.emitted": "gateway",  # Kafka's client has it, Kafka perhaps not
        "gateway.acknowledged": "gateway",  # the client has not been told yet
        "spool.before-fsync": "gateway",
        "spool.synced": "gateway",
        "spool.delivered": "gateway",  # Kafka has it, the spool has it still
        "processors.before-emit": "processors",
        "processors.emitted": "processors",  # the table does not know it yet
        "processors.table-written": "processors",
        "processors.before-commit": "processors",
        "trainer.trained": "trainer",  # the weights have moved, in memory
        "checkpoint.before-fsync": "trainer",
        "checkpoint.before-rename": "trainer",
        "checkpoint.renamed": "trainer",
        "transaction.before-offsets": "trainer",
        "transaction.offsets-added": "trainer",
        "transaction.committed": "trainer",
        "reloader.before-load": "reloader",
        "reloader.loaded": "reloader",  # nobody has been told yet
        "reloader.announced": "reloader",
        "archiver.before-rename": "archiver",
        "archiver.renamed": "archiver",  # the manifest does not name it yet
        "archiver.manifest-written": "archiver",
    }
)


def order(folder: Path, name: str, action: str, visit: int = 1, argument: str = "") -> None:
    """Orders what happens at a place; in force at once, also in processes that run.

    Args:    action: "kill", "hang" or "fail"; visit: 1 is the next; argument: seconds to hang, or the name of an errno.
    Raises:  SettingsError: no such place or action.
    """
    if name not in FAILPOINTS or action not in _ACTIONS:
        known = ", ".join(FAILPOINTS)
        message = f"There is no failpoint {name!r} or no action {action!r}; it is {' or '.join(_ACTIONS)} at {known}."
        raise SettingsError(message)
    _hit_file(folder, name).unlink(missing_ok=True)
    draft = folder / f".{name}"
    draft.write_text(f"{action} {visit} {argument}")
    draft.rename(folder / name)


def withdraw(folder: Path, name: str) -> bool:
    """Takes an order back. Returns: whether it had been carried out."""
    (folder / name).unlink(missing_ok=True)
    return was_hit(folder, name)


def was_hit(folder: Path, name: str) -> bool:
    """Whether the last order of this place was carried out."""
    return _hit_file(folder, name).exists()


def hit_by(folder: Path, name: str) -> int | None:
    """The process that carried out the last order of this place; None: not known yet."""
    text = _hit_file(folder, name).read_text() if was_hit(folder, name) else ""
    return int(text) if text.isdecimal() else None


def _hit_file(folder: Path, name: str) -> Path:
    return folder / f"{name}{_HIT}"


class _Orders:
    """`failpoint` in a process for which there may be orders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._visits: Counter[str] = Counter()

    def __call__(self, name: str) -> None:
        file = self._folder / name
        try:
            action, visit, *argument = file.read_text().split()
        except FileNotFoundError:
            return
        self._visits[name] += 1
        if self._visits[name] < int(visit):
            return
        del self._visits[name]
        try:
            file.rename(_hit_file(self._folder, name))
        except FileNotFoundError:  # another process carries it out
            return
        _hit_file(self._folder, name).write_text(str(os.getpid()))
        _carry_out(name, action, *argument)


def _carry_out(name: str, action: str, argument: str = "") -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "hang":
        time.sleep(float(argument))  # the whole process: its event loop stands still, too
    else:
        code = getattr(errno, argument)
        raise OSError(code, os.strerror(code), name)


def _off(name: str) -> None:
    """`failpoint` in normal use."""


def _chosen() -> Callable[[str], None]:
    folder = os.environ.get(VARIABLE)
    return _Orders(Path(folder)) if folder else _off


failpoint: Callable[[str], None] = _chosen()
