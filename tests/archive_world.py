"""Small archives for tests."""

from collections.abc import Sequence
from pathlib import Path

from made_log import MadeLog

from streams.archive.writer import ArchiveWriter
from streams.recorded import Recorded


def taught() -> MadeLog:
    log = MadeLog()
    log.ready("a0", -1, "Answer without bold.", question="How can I sleep?", answer="**Tips**", reply="No bold please.")
    log.ready("a1", 1, question="No bold please.", answer="Sleep early.", reply="Thanks!")
    log.batch("b1", "a0", "a1")
    log.checkpoint(1, {"b1": ("a0", "a1")})
    log.action("a2", version=1)
    return log


def positions(records: Sequence[Recorded], topic_id: str = "id") -> dict[tuple[str, int], tuple[str, int]]:
    return {(record.topic, record.partition): (topic_id, record.offset + 1) for record in records}


def archive(folder: Path, *parts: Sequence[Recorded]) -> None:
    with ArchiveWriter(folder) as writer:
        for part in parts:
            writer.append(part, positions(part))
