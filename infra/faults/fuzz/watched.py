"""`Watched`: what a worker is trying right now, in a file that outlives it: the only witness of a crash or a hang."""

import mmap
from pathlib import Path

_HEAD_BYTES = 16  # inputs begun, and the size of the newest
_ROOM_BYTES = 1024 * 1024


class Watched:
    """The file. The worker writes it, whoever started the worker reads it."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_HEAD_BYTES + _ROOM_BYTES))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._begun = 0

    def begin(self, data: bytes) -> None:
        """An input is about to be tried."""
        self._begun += 1
        size = min(len(data), _ROOM_BYTES)
        self._memory[_HEAD_BYTES : _HEAD_BYTES + size] = data[:size]
        self._memory[:_HEAD_BYTES] = self._begun.to_bytes(8, "big") + size.to_bytes(8, "big")

    @property
    def begun(self) -> int:
        """How many inputs were begun."""
        return int.from_bytes(self._memory[:8], "big")

    @property
    def newest(self) -> bytes:
        """The input that was begun last."""
        size = int.from_bytes(self._memory[8:_HEAD_BYTES], "big")
        return bytes(self._memory[_HEAD_BYTES : _HEAD_BYTES + size])
