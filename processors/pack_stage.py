"""`PackStage`: seals batches, by size and by time.

Samples that are in no batch yet are not done: after a crash they are read again. What is in a batch is known from the
topic `batches` itself, which the stage reads before its first sample. So there is no table, and a seal by time, which
no replay could repeat, is remembered by the record that it made.

Consumes `samples`, produces `batches`; `rejections` and `skips` for samples that no batch could hold.
"""

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Literal

from cachetools import FIFOCache

from processors.config import ProcessorsConfig
from processors.emit import Emission
from processors.pack import STAGE, OpenBatch, OpenSample, refuse, seal
from processors.recall import MAX_REMEMBERED, ReadLog
from processors.stage import Emits, rejections
from schemas.clock import Clock, now_ms, steady_ms
from schemas.events import BatchSealed, SampleBuilt
from streams.recorded import Recorded
from streams.topics import BATCHES

Place = tuple[int, str]  # samples partition, policy


class PackStage:
    """Collects samples into batches (a `Stage`)."""

    def __init__(
        self,
        config: ProcessorsConfig,
        emitter: Emits,
        read_log: ReadLog,
        *,
        clock: Clock = now_ms,
        steady: Clock = steady_ms,
    ) -> None:
        self._config = config
        self._emitter = emitter
        self._read_log = read_log
        self._clock = clock
        self._steady = steady
        self._open: dict[Place, OpenBatch] = {}
        # Samples in a batch: the offset of its record while the batch is open, None once it is sealed.
        self._packed: MutableMapping[str, int | None] = FIFOCache(MAX_REMEMBERED)
        self._is_loaded = False

    async def handle(self, records: Sequence[Recorded]) -> Sequence[Recorded]:
        """Add samples, sealing what is full or overdue; samples in a sealed batch are done."""
        await self._load()
        await self._emitter.emit(rejections(records, STAGE))
        done: list[Recorded] = []
        for record in records:
            if isinstance(record.event, SampleBuilt):
                done += await self._add(OpenSample(sample=record.event, record=record))
            else:
                done.append(record)
        overdue_ms = self._steady() - int(self._config.seal_after_s * 1000)
        for place in [place for place, batch in self._open.items() if batch.since_ms < overdue_ms]:
            done += await self._seal(place, "time")
        return done

    def reset(self) -> None:
        """Drop open batches, whose samples will be read again, and read the log again before the next sample."""
        self._open.clear()
        self._packed.clear()
        self._is_loaded = False

    async def _add(self, new: OpenSample) -> list[Recorded]:
        if new.sample.id in self._packed:
            is_open = self._packed[new.sample.id] == new.record.offset  # the record itself, delivered again
            return [] if is_open else [new.record]
        if refused := refuse(new):  # alone, so that the others of its batch are packed
            await self._emitter.emit(refused)
            return [new.record]
        done: list[Recorded] = []
        place = (new.record.partition, new.sample.policy)
        if place in self._open and not self._open[place].fits(new):
            done += await self._seal(place, "size")
        batch = self._open.setdefault(place, OpenBatch(since_ms=self._since_ms(new.record)))
        batch.add(new)
        self._packed[new.sample.id] = new.record.offset
        if len(batch.samples) >= self._config.batch_size:
            done += await self._seal(place, "size")
        return done

    def _since_ms(self, record: Recorded) -> int:
        """When a sample came, by the steady clock: one that is read again after a crash has waited before."""
        return self._steady() - max(0, self._clock() - record.timestamp_ms)

    async def _seal(self, place: Place, sealed_by: Literal["size", "time"]) -> list[Recorded]:
        samples = self._open[place].samples
        event = seal(samples, sealed_by)
        content = tuple(each.sample for each in samples)
        await self._emitter.emit([Emission(event=event, cause=samples[-1].record, samples=content)])
        del self._open[place]
        self._packed.update((each.sample.id, None) for each in samples)
        return [each.record for each in samples]

    async def _load(self) -> None:
        if not self._is_loaded:
            await asyncio.to_thread(self._read)
            self._is_loaded = True

    def _read(self) -> None:
        for event in self._read_log((BATCHES,), None):
            if isinstance(event, BatchSealed):
                self._packed.update((sample_id, None) for sample_id in event.sample_ids)
