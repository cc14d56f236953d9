"""`AssessStage`: asks judge and hint extractor about each transition, once.

A model may answer differently when it is asked again, but a verdict's id is a digest of its inputs: two answers under
one id would be an audit failure. So before its first transition the stage reads which answers the log already holds
(all that it keeps: a start that asked for the newest days only would find none while the clock is ahead), and what is
recorded is used, not asked for again. The verdict is recorded before the extractor is asked.

Consumes `transitions`, produces `verdicts`, `hints`, and `skips` for what ended.
"""

import asyncio
from collections.abc import MutableMapping, Sequence

from cachetools import FIFOCache

from processors.assess import STAGE, extract_all, judge_all, skip_ended
from processors.emit import Emission
from processors.ports import HintExtractor, Judge
from processors.recall import MAX_REMEMBERED, ReadLog
from processors.stage import Emits, rejections
from schemas.events import HintExtracted, TransitionJoined, VerdictReached
from streams.recorded import Recorded
from streams.topics import HINTS, VERDICTS


class AssessStage:
    """Turns transitions into verdicts and hints (a `Stage`)."""

    def __init__(
        self,
        judge: Judge,
        extractor: HintExtractor,
        emitter: Emits,
        read_log: ReadLog,
    ) -> None:
        self._judge = judge
        self._extractor = extractor
        self._emitter = emitter
        self._read_log = read_log
        self._verdicts: dict[str, VerdictReached] | None = None  # by transition, until it has its hint; None: not read
        self._done: MutableMapping[str, None] = FIFOCache(MAX_REMEMBERED)  # transitions with verdict and hint

    async def handle(self, records: Sequence[Recorded]) -> Sequence[Recorded]:
        """Judge what has not been judged, all of it at once; then extract hints."""
        if not records:
            return records
        await self._emitter.emit(rejections(records, STAGE))
        transitions = {event.id: event for record in records if isinstance(event := record.event, TransitionJoined)}
        causes = {record.event.id: record for record in records if record.event is not None}
        ended = [transition for transition in transitions.values() if transition.kind == "ended"]
        await self._emitter.emit([Emission(event=skip_ended(each), cause=causes[each.id]) for each in ended])
        verdicts = await self._recorded()
        new = [each for each in transitions.values() if each.kind != "ended" and each.id not in self._done]
        await self._judge_new([each for each in new if each.id not in verdicts], verdicts, causes)
        await self._extract_new([(each, verdicts[each.id]) for each in new], causes)
        return records

    def reset(self) -> None:
        """Read the log again before the next transition."""
        self._verdicts = None

    async def _judge_new(
        self,
        transitions: Sequence[TransitionJoined],
        verdicts: dict[str, VerdictReached],
        causes: dict[str, Recorded],
    ) -> None:
        if transitions:
            reached = await judge_all(transitions, self._judge)
            await self._emitter.emit([Emission(event=each, cause=causes[each.transition_id]) for each in reached])
            verdicts.update((verdict.transition_id, verdict) for verdict in reached)

    async def _extract_new(
        self, judged: Sequence[tuple[TransitionJoined, VerdictReached]], causes: dict[str, Recorded]
    ) -> None:
        hints = await extract_all(judged, self._extractor)
        await self._emitter.emit([Emission(event=hint, cause=causes[hint.transition_id]) for hint in hints])
        for hint in hints:
            self._finish(hint)

    def _finish(self, hint: HintExtracted) -> None:
        self._done[hint.transition_id] = None
        if self._verdicts is not None:
            self._verdicts.pop(hint.transition_id, None)

    async def _recorded(self) -> dict[str, VerdictReached]:
        if self._verdicts is None:
            self._verdicts = await asyncio.to_thread(self._read)
        return self._verdicts

    def _read(self) -> dict[str, VerdictReached]:
        """Note which transitions have both; returns verdicts that lack their hint."""
        verdicts: dict[str, VerdictReached] = {}
        hinted: set[str] = set()  # those whose verdict is yet to come: they lie in two topics
        for event in self._read_log((VERDICTS, HINTS), None):
            if not isinstance(event, VerdictReached | HintExtracted) or (key := event.transition_id) in self._done:
                continue
            if isinstance(event, VerdictReached):
                verdicts.setdefault(key, event)  # the first record wins
            else:
                hinted.add(key)
            if key in verdicts and key in hinted:  # kept as an id alone: the log may hold a week of them
                self._done[key] = None
                del verdicts[key]
                hinted.remove(key)
        return verdicts
