"""`Spools`: where the processes of programs that record keep what Kafka does not take, and who delivers it.

    ~/.local/state/nextstate/recorder/localhost-9092-3f2a.../recorder-0, recorder-1 ...

A folder belongs to one cluster and topic prefix, so that nothing is delivered to another. A spool in it has one process
at a time: each takes the first that is free, and while Kafka answers, delivers what processes that are gone have left
in the others. A program must not end, nor stop recording, because its disk is full or read-only: where no spool can be
taken there is none, and events go to Kafka alone. Owns the folder, produces recorders. Unblocked by: the clock.
"""

import asyncio
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import FatalError, SpoolFullError
from schemas.identity import digest_text
from streams.config import KafkaConfig
from streams.producer import EventProducer
from streams.recorder import Recorder
from streams.spool import Spool, SpoolTakenError

_LOGGER = logging.getLogger("nextstate.recorder")
NAME = "recorder"
MAX_SPOOLS = 64  # processes of one cluster's programs at a time
LOOK_S = 10.0  # how long a spool that was left may go unseen
_NAME_CHARS, _DIGEST_CHARS = 48, 12  # of a folder: whose it is, for a person, and to tell it apart


class NoSpool(Spool):
    """Where nothing can be written: holds nothing, and takes nothing."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), 0)

    def open(self) -> None:
        """There is nothing to open."""

    def append(self, *records: bytes) -> None:  # noqa: ARG002 - nothing is kept
        """Raises SpoolFullError."""
        raise SpoolFullError("Kafka does not answer, and there is no spool for what it does not take.")

    def replay(self) -> Iterator[tuple[int, bytes]]:
        """Nothing waits here."""
        return iter(())


class Spools:
    """The spools of one cluster and prefix. Args: root: the folder of those of all; producer: delivers them."""

    def __init__(
        self, root: Path, kafka: KafkaConfig, producer: EventProducer, *, max_bytes: int, deadline_s: float
    ) -> None:
        self._folder = root / folder_name(kafka)
        self._producer = producer
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._own: Path | None = None

    async def take(self) -> Recorder:
        """A recorder, started, with the first spool that is free; with none where none can be written."""
        try:
            self._folder = self._folder.expanduser()
            for number in range(MAX_SPOOLS):
                path = self._folder / f"{NAME}-{number}"
                if recorder := await self._taken(path):
                    self._own = path
                    return recorder
            reason = f"{MAX_SPOOLS} processes write spools in {self._folder}; give this program a folder of its own."
        except (FatalError, RuntimeError) as error:  # it cannot be written, or "~" is nowhere
            reason = str(error)
        _LOGGER.warning("what Kafka does not take at once is lost, without a spool: %s", reason)
        recorder = Recorder(self._producer, NoSpool(), self._deadline_s)
        await recorder.start()
        return recorder

    async def deliver_left(self, own: Recorder) -> None:
        """Deliver what processes that are gone have left, now and whenever there is some. Cancel to stop.

        Raises:  RestartNeededError: the producer's client can go no further; what it has not delivered stays for all.
        """
        while True:
            await own.until_healthy()
            for path in self._others():
                try:
                    await self._deliver(path)
                except (FatalError, OSError) as error:
                    _LOGGER.warning("a spool that was left is not delivered: %s", error)
            await asyncio.sleep(LOOK_S)

    async def _deliver(self, path: Path) -> None:
        recorder = await self._taken(path)
        if recorder is None:  # its process lives
            return
        try:
            await recorder.until_healthy()
        finally:
            await recorder.close()

    async def _taken(self, path: Path) -> Recorder | None:
        recorder = Recorder(self._producer, Spool(path, self._max_bytes), self._deadline_s)
        try:
            await recorder.start()
        except SpoolTakenError:
            return None
        return recorder

    def _others(self) -> list[Path]:
        """Spools that hold something, but for this process's own."""
        found = (self._folder / f"{NAME}-{number}" for number in range(MAX_SPOOLS))
        return [path for path in found if path != self._own and path.exists() and path.stat().st_size]


def folder_name(kafka: KafkaConfig) -> str:
    """The folder of the spools of this cluster and prefix."""
    servers = sorted((kafka.bootstrap_servers or "").split(","))
    readable = re.sub("[^A-Za-z0-9.]+", "-", f"{servers[0]}-{kafka.topic_prefix}").strip("-.")
    return f"{readable[:_NAME_CHARS]}-{digest_text(*servers, kafka.topic_prefix)[:_DIGEST_CHARS]}"
