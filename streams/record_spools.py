"""`take_spool`: the spool of one process of a program that records, in a folder that all its processes share.

A spool has one process at a time, so each takes the first that is free. A program must not end, nor stop recording,
because its disk is full or read-only: where no spool can be taken there is none, and events go to Kafka alone. Consumes
the folder, produces a recorder that is started.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import FatalError, SpoolFullError
from streams.producer import EventProducer
from streams.recorder import Recorder
from streams.spool import Spool, SpoolTakenError

_LOGGER = logging.getLogger("nextstate.recorder")
NAME = "recorder"
MAX_SPOOLS = 64  # processes of one program at a time


class NoSpool(Spool):
    """Where nothing can be written: holds nothing, and takes nothing."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), 0)

    def open(self) -> None:
        """There is nothing to open."""

    def append(self, record: bytes) -> None:  # noqa: ARG002 - nothing is kept
        """Raises SpoolFullError."""
        raise SpoolFullError("Kafka does not answer, and there is no spool for what it does not take.")

    def replay(self) -> Iterator[tuple[int, bytes]]:
        """Nothing waits here."""
        return iter(())


async def take_spool(folder: Path, producer: EventProducer, *, max_bytes: int, deadline_s: float) -> Recorder:
    """A recorder, started, with the first spool that is free; with none where none can be written."""
    try:
        folder = folder.expanduser()  # noqa: ASYNC240 - of the worker's own loop
        for number in range(MAX_SPOOLS):
            recorder = Recorder(producer, Spool(folder / f"{NAME}-{number}", max_bytes), deadline_s)
            try:
                await recorder.start()
            except SpoolTakenError:
                continue
            return recorder
        reason = f"{MAX_SPOOLS} processes write spools in {folder}; give this program a folder of its own."
    except (FatalError, RuntimeError) as error:  # it cannot be written, or "~" is nowhere
        reason = str(error)
    _LOGGER.warning("what Kafka does not take at once is lost, without a spool: %s", reason)
    recorder = Recorder(producer, NoSpool(), deadline_s)
    await recorder.start()
    return recorder
