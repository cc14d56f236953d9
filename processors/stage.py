"""`Stage`: what turns records into emitted events, and says which of them are done.

The rule that every stage keeps: emit, wait until Kafka has it, then change what is remembered, and only then call a
record done. A record that is not done is read again after a crash.
"""

from collections.abc import Sequence
from typing import Protocol

from processors.emit import Emission, reject
from streams.recorded import Recorded


class Emits(Protocol):
    """What a stage writes through."""

    async def emit(self, emissions: Sequence[Emission]) -> None:
        """Write all; returns when Kafka has them all."""


class Stage(Protocol):
    """One step of the pipeline. Never called twice at once."""

    async def handle(self, records: Sequence[Recorded]) -> Sequence[Recorded]:
        """Take some more records, perhaps none; returns those, of these or earlier ones, that are done."""

    def reset(self) -> None:
        """Forget what is not durable: partitions have moved, and what was not done will be read again."""


def rejections(records: Sequence[Recorded], stage: str) -> list[Emission]:
    """A rejection for each record that does not hold an event."""
    return [
        Emission(event=reject(record, stage, record.error), cause=record)
        for record in records
        if record.error is not None
    ]
