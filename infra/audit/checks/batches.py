"""`batches`: a batch is a contiguous range of one samples partition, and every sample is in one batch at most.

Whether a batch holds the samples that it names is seen when it is decoded. Between its first and its last sample, every
other one of its policy is in a batch, too, or was rejected by pack; so is every sample before the last one in a batch.
The offsets that a batch names are compared, but only hints: a restored topic has others.
"""

from collections import defaultdict
from collections.abc import Iterable

from infra.audit.check import Check
from infra.audit.facts import Fact
from infra.audit.index import LogIndex
from infra.audit.report import Tally
from schemas.events import BatchSealed, SampleBuilt, TurnSkipped
from streams.topics import BATCHES

Sample = Fact[SampleBuilt]

_MOVED = "batches whose samples lie at other offsets than they name: the topic was restored"
_DELETED = "samples in no batch, where retention or an erasure may have deleted the batch"


def run(log: LogIndex, tally: Tally) -> None:
    """The batches one by one, then the samples that none has."""
    for batch in log.of(BatchSealed).values():
        tally.num_checked += 1
        samples = [one for one in map(log.of(SampleBuilt).get, batch.event.sample_ids) if one is not None]
        if not samples or len(samples) < len(batch.event.sample_ids):
            tally.hidden["batches of which not all samples are in the log"] += 1
        else:
            _check_range(batch, samples, tally)
    for sample in log.of(SampleBuilt).values():
        if len(batches := log.batches_of(sample.event.id)) > 1:
            tally.fail(sample.line, f"The sample is in {len(batches)} batches: {_ids(batches)}.")
    _check_left_out(log, tally)


def _check_range(batch: Fact[BatchSealed], samples: list[Sample], tally: Tally) -> None:
    event, offsets = batch.event, [one.line.offset for one in samples]
    partitions = {one.line.partition for one in samples}
    if len(partitions) > 1 or any(one.event.policy != event.policy for one in samples):
        tally.fail(batch.line, "Its samples are of several partitions or policies.")
    elif offsets != sorted(offsets):
        tally.fail(batch.line, "Its samples do not lie in its order.")
    elif (partitions, event.first_offset, event.last_offset) != ({event.samples_partition}, offsets[0], offsets[-1]):
        tally.hidden[_MOVED] += 1
    if event.action_ids != tuple(one.event.action_id for one in samples):
        tally.fail(batch.line, "It names other actions than its samples do.")


def _check_left_out(log: LogIndex, tally: Tally) -> None:
    """Samples that pack has passed: no batch has them, but a batch has a later one of the same policy."""
    lines: defaultdict[tuple[int, str], list[Sample]] = defaultdict(list)
    for sample in log.of(SampleBuilt).values():
        lines[sample.line.partition, sample.event.policy].append(sample)
    for samples in lines.values():
        is_passed = False
        for sample in sorted(samples, key=lambda one: one.line.offset, reverse=True):
            if log.batches_of(sample.event.id):
                is_passed = True
            elif is_passed and not _is_rejected(sample, log):
                _report(sample, log, tally)
            elif not is_passed:
                tally.counted["samples waiting for a batch"] += 1


def _is_rejected(sample: Sample, log: LogIndex) -> bool:
    return log.is_rejected(sample.line) or any(
        one.event.stage == "pack" for one in log.about(TurnSkipped, sample.event.action_id)
    )


def _report(sample: Sample, log: LogIndex, tally: Tally) -> None:
    if log.horizon.may_have_lost(BATCHES, sample.line.timestamp_ms, sample.event.policy):
        tally.hidden[_DELETED] += 1
    else:
        tally.fail(sample.line, "The sample is in no batch, but a later one of its policy is.")


def _ids(batches: Iterable[Fact[BatchSealed]]) -> str:
    return ", ".join(batch.event.id for batch in batches)


CHECK = Check(
    name="batches",
    promise="Each sample is in one batch, a contiguous range.",
    blind="Whether a batch was sealed when it should have been.",
    run=run,
)
