"""`RecordedPacking`, `FreshPacking`: samples become the batches that were recorded, or new ones by the ordinary rule.

When a batch was sealed by time, no replay could know; so the record of a batch is also the record of that decision, and
the same range is sealed again. With other judgements there are other samples: they are packed as if they had come one
after another at the time of their records, and what is still open at the end waits, as it would in a running stack.

Consume `samples`; produce `batches`, and for samples that no batch could hold `rejections` and `skips`.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from infra.replay.slice import in_order
from processors.emit import Emission
from processors.pack import STAGE, OpenSample, refuse, seal
from processors.pack_stage import PackStage
from processors.stage import Emits, Stage, rejections
from schemas.events import BatchSealed, SampleBuilt
from streams.recorded import Recorded


class Packing(Stage, Protocol):
    """A pack stage that knows when nothing more will come."""

    async def finish(self) -> None:
        """Seal what is left, where the rule says so."""


@dataclass(slots=True)
class _Range:
    """One recorded batch, filling up again."""

    batch: BatchSealed
    samples: dict[str, OpenSample] = field(default_factory=dict)  # by id: a sample that was recorded twice counts once

    @property
    def is_full(self) -> bool:
        return len(self.samples) == len(self.batch.sample_ids)


class RecordedPacking:
    """Seals the recorded ranges again."""

    def __init__(self, batches: Iterable[BatchSealed], emitter: Emits) -> None:
        self._emitter = emitter
        self._ranges: defaultdict[tuple[int, str], list[_Range]] = defaultdict(list)
        for batch in sorted(batches, key=lambda each: each.first_offset):
            self._ranges[batch.samples_partition, batch.policy].append(_Range(batch))

    async def handle(self, records: Sequence[Recorded]) -> Sequence[Recorded]:
        """Add samples to their ranges, and seal those that are full."""
        await self._emitter.emit(rejections(records, STAGE))
        for record in records:
            if isinstance(record.event, SampleBuilt):
                await self._add(OpenSample(sample=record.event, record=record))
        return records

    def reset(self) -> None:
        """Nothing is read again in a replay."""

    async def finish(self) -> None:
        """Seal also the ranges that have not got all that they once held: they are other batches now."""
        for ranges in self._ranges.values():
            for unfilled in [each for each in ranges if each.samples]:
                await self._seal(unfilled)

    async def _add(self, new: OpenSample) -> None:
        own = self._range_of(new)
        if own is None:
            await self._emitter.emit(refuse(new))
            return
        own.samples.setdefault(new.sample.id, new)
        if own.is_full:
            await self._seal(own)

    def _range_of(self, new: OpenSample) -> _Range | None:
        ranges = self._ranges[new.record.partition, new.sample.policy]
        place = bisect_right(ranges, new.record.offset, key=lambda each: each.batch.first_offset) - 1
        return ranges[place] if place >= 0 and new.record.offset <= ranges[place].batch.last_offset else None

    async def _seal(self, full: _Range) -> None:
        samples = sorted(full.samples.values(), key=lambda each: each.record.offset)
        event = seal(samples, full.batch.sealed_by)
        content = tuple(each.sample for each in samples)
        await self._emitter.emit([Emission(event=event, cause=samples[-1].record, samples=content)])
        full.samples.clear()


@dataclass(slots=True)
class Clock:
    """The time of a replay: that of the newest record so far. A clock by being called (`schemas.clock.Clock`)."""

    time_ms: int = 0

    def __call__(self) -> int:
        """Milliseconds since 1970."""
        return self.time_ms

    def advance(self, records: Iterable[Recorded]) -> None:
        """Time never goes back."""
        self.time_ms = max((self.time_ms, *(record.timestamp_ms for record in records)))


class FreshPacking:
    """Packs once all samples are there, because a range is one of consecutive offsets."""

    def __init__(self, stage: PackStage, clock: Clock, rest_s: float) -> None:
        self._stage = stage
        self._clock = clock
        self._rest_s = rest_s  # how long the stack runs on after the last sample
        self._records: dict[tuple[str, int, int], Recorded] = {}

    async def handle(self, records: Sequence[Recorded]) -> Sequence[Recorded]:
        """Keep them."""
        self._records.update(((each.topic, each.partition, each.offset), each) for each in records)
        return records

    def reset(self) -> None:
        """Nothing is read again in a replay."""

    async def finish(self) -> None:
        """Pack all, in order of their places."""
        self._clock.time_ms = 0  # of the samples, from the first on
        for record in in_order(list(self._records.values())):
            self._clock.advance([record])
            await self._stage.handle(())  # first what was overdue by then
            await self._stage.handle([record])
        self._clock.time_ms += int(self._rest_s * 1000) + 1
        await self._stage.handle(())
