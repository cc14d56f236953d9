"""Small archives for tests."""

from collections.abc import Sequence
from pathlib import Path

from made_log import MadeLog

from streams.archive.manifest import Position
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


def positions(records: Sequence[Recorded], epoch: int = 0) -> list[Position]:
    """Behind these records, which are in the order of their partitions."""
    ends = {(record.topic, record.partition): record.offset + 1 for record in records}
    return [
        Position(topic=topic, partition=partition, offset=offset, topic_id=f"id-{epoch}", epoch=epoch)
        for (topic, partition), offset in ends.items()
    ]


def archive(folder: Path, *parts: Sequence[Recorded]) -> None:
    with ArchiveWriter(folder) as writer:
        for part in parts:
            writer.append(part, positions(part))
