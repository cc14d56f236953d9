"""`rejudge`: a slice of the log derived again with another judge and hint extractor, for a policy of another name.

Consumes a slice and the recorded verdicts; produces everything that processors derive, from transitions to batches, in
the order in which a branch has to hold it, and how old and new verdicts agree. `write_branch` puts it on the broker.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.rejudge.agreement import Agreement, agreement_of
from infra.rejudge.relabel import PRODUCER, for_policy
from infra.replay.history import History, Pair, read_recorded
from infra.replay.judging import pair_of
from infra.replay.run import Assessors, replay
from infra.replay.slice import Read, Selection
from processors.config import ProcessorsConfig
from processors.ports import Renderer
from schemas.errors import FatalError
from schemas.events import HintExtracted, RunConfigured, TransitionJoined, VerdictReached
from streams.admin import create_topics
from streams.codec import Encoded, encode
from streams.config import KafkaConfig
from streams.producer import EventProducer
from streams.recorded import Recorded
from streams.topics import BY_NAME, RUNS

_SENT_AT_ONCE = 100  # records that wait for their acknowledgement; batches may be megabytes each


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """A slice, judged again."""

    policy: str
    records: Sequence[Recorded]  # recorded ones under the new policy's name, then derived ones
    agreement: Agreement
    num_hints_old: int  # transitions with a hint
    num_hints_new: int

    @property
    def counts(self) -> Counter[str]:
        """Records by topic."""
        return Counter(record.topic for record in self.records)


def rejudge(
    read: Read, selection: Selection, *, policy: str, assessors: Assessors, renderer: Renderer, config: ProcessorsConfig
) -> Rejudged:
    """Judge and derive again.

    Args:    policy: whose history it becomes; config: how samples become batches.
    Raises:  EmptySliceError: the selection fits nothing.
    """
    taken, old = read_recorded(read, selection, config.max_open_age_s)
    inputs = for_policy(taken.inputs, policy)
    derived: list[Recorded] = []
    relabelled = replace(taken, inputs=tuple(inputs))
    asyncio.run(replay(relabelled, History(), renderer, config, assessors, derived.append, seals_rest=True))
    events = [record.event for record in derived]
    pairs = {event.id: pair_of(event) for event in events if isinstance(event, TransitionJoined)}
    verdicts: dict[Pair, VerdictReached] = {
        pairs[event.transition_id]: event for event in events if isinstance(event, VerdictReached)
    }
    hinted = {event.transition_id for event in events if isinstance(event, HintExtracted) and event.hints}
    return Rejudged(
        policy=policy,
        records=(*inputs, *derived),
        agreement=agreement_of({pair: judged.verdict for pair, judged in old.judged.items()}, verdicts),
        num_hints_old=sum(judged.hint is not None and bool(judged.hint.hints) for judged in old.judged.values()),
        num_hints_new=len(hinted),
    )


async def write_branch(branch: KafkaConfig, found: Rejudged, run: RunConfigured) -> None:
    """Write everything to an empty branch, and say last how it was made: a branch without that is not whole.

    Raises:  FatalError: the branch is not empty, so that the offsets that batches name are not theirs.
    """
    await asyncio.to_thread(create_topics, branch)
    producer = EventProducer(branch, PRODUCER)
    try:
        for start in range(0, len(found.records), _SENT_AT_ONCE):
            await _send(producer, found.records[start : start + _SENT_AT_ONCE])
        await producer.send_nowait(RUNS, encode(RUNS, run, PRODUCER))
    finally:
        await producer.close()


async def _send(producer: EventProducer, records: Sequence[Recorded]) -> None:
    placed = await asyncio.gather(
        *(
            producer.send_nowait(
                BY_NAME[each.topic], Encoded(key=each.key or b"", value=each.value, headers=each.headers)
            )
            for each in records
        )
    )
    for record, at in zip(records, placed, strict=True):
        if record.topic == "samples" and at.offset != record.offset:
            raise FatalError("The topics of this run are not empty: choose another name for it (--as).")
