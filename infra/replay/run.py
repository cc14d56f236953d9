"""`replay`: a slice of the log through the processors' stages as installed now, in memory, beside what was recorded.

    slice ──► TurnStage ──► transitions, samples, skips       each record that a stage writes is encoded as for Kafka,
              assessment ──► verdicts, hints, skips           compared (comparison.py), and delivered to the stage
              packing ──► batches                             that reads its topic

What a derived record depends on beside recorded events, and how a replay deals with it:
* **its place**: a batch names offsets of samples, a rejection the place of what is rejected. A replayed record is
  taken to lie where the recorded one of its id lies, or the one about the same turn.
* **models**: their answers are recorded; with the recorded judgements nobody is asked (judging.py).
* **time**: a seal by time is recorded as its batch (packing.py); the sweeper's `ended` are recorded next states, and no
  sweeper runs; turns are never forgotten here, and those that were then are named and not compared (history.py).
* **order between topics**: changes nothing (tests/property/test_processors_property.py), but for feedback: which thumb
  was there in time is recorded as the sample that names it (telling.py).
* **settings and model folder**: today's; the command says where the recorded run's differ.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from infra.replay.comparison import Comparison
from infra.replay.history import History
from infra.replay.judging import RecordedAssessment, nothing_recorded
from infra.replay.packing import Clock, FreshPacking, Packing, RecordedPacking
from infra.replay.slice import Slice, in_order
from infra.replay.telling import behind_what_counts, in_time
from processors.assess_stage import AssessStage
from processors.config import ProcessorsConfig
from processors.emit import Emission, encoded
from processors.open_turns import OpenTurns
from processors.pack_stage import PackStage
from processors.ports import HintExtractor, Judge, Renderer
from processors.stage import Stage
from processors.turn_stage import READS, TurnStage
from streams.codec import Encoded
from streams.config import KafkaConfig
from streams.memory import MemoryTable
from streams.placement import partition_of
from streams.recorded import Recorded, record_of
from streams.topics import SAMPLES, TRANSITIONS, Topic

PRODUCER = "replay"
INPUTS_AT_ONCE = 100  # records; what they lead to is settled before the next
_NEVER_S = 1e9  # 30 years: nothing is forgotten in a replay
_UNBOUNDED_BYTES = 2**62
_READ = (*READS, TRANSITIONS, SAMPLES)

Observe = Callable[[Recorded], None]
_Stages = Mapping[tuple[Topic, ...], Stage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessors:
    """Who judges afresh."""

    judge: Judge
    extractor: HintExtractor


class ReplayLog:
    """Where stages write in a replay (`processors.stage.Emits`): records get places, and wait for their readers."""

    def __init__(self, history: History, clock: Clock, comparison: Comparison, observe: Observe) -> None:
        self._history = history
        self._clock = clock
        self._comparison = comparison
        self._observe = observe
        self._ends = history.spans.ends.copy()
        self._waiting: defaultdict[str, list[Recorded]] = defaultdict(list)

    async def emit(self, emissions: Sequence[Emission]) -> None:
        """Write all, compare each."""
        for emission in emissions:
            topic, written = encoded(emission, PRODUCER)
            record = self._placed(topic, written, emission)
            self._comparison.see(record, emission.cause)
            self._observe(record)
            if topic in _READ:
                self._waiting[topic.name].append(record)

    def take(self, topics: Sequence[Topic]) -> list[Recorded]:
        """What has been written to some topics and not been taken."""
        return [record for topic in topics for record in self._waiting.pop(topic.name, ())]

    def _placed(self, topic: Topic, written: Encoded, emission: Emission) -> Recorded:
        partition = partition_of(written.key, topic.partitions)
        entry = self._history.entry_for(topic.name, emission.event)
        if entry is not None and entry.partition == partition:
            offset, timestamp_ms = entry.offset, entry.timestamp_ms
        else:
            offset, timestamp_ms = self._ends[topic.name, partition], self._clock()
            self._ends[topic.name, partition] += 1
        return record_of(
            KafkaConfig(),
            topic=topic.name,
            partition=partition,
            offset=offset,
            timestamp_ms=timestamp_ms,
            headers=written.headers,
            key=written.key,
            value=written.value,
        )


async def replay(  # noqa: PLR0917 - one job, all its needs
    taken: Slice,
    history: History,
    renderer: Renderer,
    config: ProcessorsConfig,
    assessors: Assessors | None = None,
    observe: Observe = lambda _: None,
    *,
    seals_rest: bool = False,
) -> Comparison:
    """Derive everything from a slice again.

    Args:    assessors: None: everybody judges as was recorded; observe: sees each record as it is written; seals_rest:
             whether samples that fill no batch, judged afresh, become one all the same, as after a long wait.
    """
    clock, comparison = Clock(), Comparison(history)
    log = ReplayLog(history, clock, comparison, observe)
    patient = config.model_copy(update={"max_open_age_s": _NEVER_S, "max_open_bytes": _UNBOUNDED_BYTES})
    turns = TurnStage(patient, renderer, OpenTurns(MemoryTable(), MemoryTable(), clock=clock, steady=clock), log)
    packing: Packing
    assessment: Stage
    if assessors is None:
        assessment = RecordedAssessment(log, history.judged)
        packing = RecordedPacking(history.batches, log)
    else:
        assessment = AssessStage(assessors.judge, assessors.extractor, log, nothing_recorded)
        rest_s = config.seal_after_s if seals_rest else 0.0
        packing = FreshPacking(PackStage(patient, log, nothing_recorded, clock=clock, steady=clock), clock, rest_s)
    stages: _Stages = {READS: turns, (TRANSITIONS,): assessment, (SAMPLES,): packing}
    inputs = in_order([*taken.inputs, *history.unreadable])
    told, told_last = in_time(inputs, history.thumbs if assessors is None else behind_what_counts(inputs))
    for part in (told, told_last):
        for start in range(0, len(part), INPUTS_AT_ONCE):
            some = part[start : start + INPUTS_AT_ONCE]
            clock.advance(some)
            for topics, stage in stages.items():
                await stage.handle([record for record in some if record.topic in {topic.name for topic in topics}])
            await _settle(log, stages, config)
    await packing.finish()
    return comparison


async def _settle(log: ReplayLog, stages: _Stages, config: ProcessorsConfig) -> None:
    """Deliver what was written until nothing new appears; judges get as many transitions at once as in a stack."""
    is_quiet = False
    while not is_quiet:
        is_quiet = True
        for topics, stage in stages.items():
            records = log.take(topics)
            is_quiet = is_quiet and not records
            at_once = config.judge_batch if TRANSITIONS in topics else INPUTS_AT_ONCE
            for start in range(0, len(records), at_once):
                await stage.handle(records[start : start + at_once])
