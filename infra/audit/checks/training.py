"""`training`: an action moves a policy's weights at most once, and what says so agrees (design promise 3).

Checkpoint, trained entries and skips of one batch are one transaction. So a batch has all of them or none; and as
batches are taken in order, a batch before one that has them has its own.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set

from infra.audit.check import Check, miss
from infra.audit.facts import Fact
from infra.audit.index import LogIndex
from infra.audit.report import Tally
from schemas.events import ActionTrained, BatchSealed, CheckpointPublished, TurnSkipped
from streams.topics import CHECKPOINTS, SKIPS, TRAINED

Checkpoint = Fact[CheckpointPublished]
Entry = Fact[ActionTrained]
Trained = tuple[str, str]  # policy, action id

_ENTRIES_ERASED = "entries of `trained` that an erasure may have deleted"
_SKIPS_DELETED = "samples that did not train, and whose skip retention or an erasure may have deleted"


def run(log: LogIndex, tally: Tally) -> None:
    """Checkpoints and entries against each other, then the batches that the trainer is done with."""
    entries: defaultdict[Trained, list[Entry]] = defaultdict(list)
    for entry in log.of(ActionTrained).values():
        entries[entry.event.policy, entry.event.action_id].append(entry)
        _check_entry(entry, log, tally)
    for (policy, action_id), (first, *others) in entries.items():
        for entry in others:
            tally.fail(entry.line, f"Action {action_id} has trained {policy} before, by {first.event.id}.")
    trained_by: dict[Trained, Checkpoint] = {}
    for checkpoint in log.of(CheckpointPublished, CHECKPOINTS).values():
        _check_once(checkpoint, trained_by, tally)
        _check_checkpoint(checkpoint, log, entries, tally)
    _check_batches(log, entries.keys(), tally)


def _check_entry(entry: Entry, log: LogIndex, tally: Tally) -> None:
    event = entry.event
    checkpoint = log.checkpoints.get((event.policy, event.version))
    if checkpoint is None:
        miss(entry.line, f"There is no checkpoint of version {event.version} of {event.policy}.", log, tally)
    elif (event.sample_id, event.action_id) not in _pairs(checkpoint.event):
        tally.fail(entry.line, f"Checkpoint {checkpoint.event.id} names no such action and sample.")


def _check_once(checkpoint: Checkpoint, trained_by: dict[Trained, Checkpoint], tally: Tally) -> None:
    event = checkpoint.event
    for action_id, times in Counter(event.action_ids).items():
        tally.num_checked += 1
        first = trained_by.setdefault((event.policy, action_id), checkpoint)
        if first is not checkpoint or times > 1:
            what = f"Action {action_id} trains version {event.version}, and has trained {first.event.version}."
            tally.fail(checkpoint.line, what)


def _check_checkpoint(
    checkpoint: Checkpoint, log: LogIndex, entries: Mapping[Trained, Sequence[Entry]], tally: Tally
) -> None:
    event = checkpoint.event
    if len(event.sample_ids) != len(event.action_ids):
        tally.fail(checkpoint.line, "It names another number of samples than of actions.")
        return
    batches = [log.of(BatchSealed).get(batch_id) for batch_id in event.batch_ids]
    held = {pair for batch in batches if batch is not None for pair in _pairs(batch.event)}
    for sample_id, action_id in _pairs(event):
        said = {(one.event.version, one.event.sample_id) for one in entries.get((event.policy, action_id), ())}
        if (event.version, sample_id) not in said and log.horizon.may_have_lost(TRAINED, checkpoint.line.timestamp_ms):
            tally.hidden[_ENTRIES_ERASED] += 1
        elif (event.version, sample_id) not in said:
            miss(checkpoint.line, f"No entry of `trained` says that action {action_id} trained it.", log, tally)
        if all(batches) and (sample_id, action_id) not in held:
            tally.fail(checkpoint.line, f"Sample {sample_id} of action {action_id} is in none of its batches.")


def _check_batches(log: LogIndex, trained: Set[Trained], tally: Tally) -> None:
    """Each sample of a batch that the trainer has taken is trained or skipped; it takes a partition's in order."""
    taken: dict[tuple[int, str], int] = {}  # by partition and policy: the last offset that a checkpoint names
    for checkpoint in log.of(CheckpointPublished, CHECKPOINTS).values():
        if log.is_young(checkpoint.line):  # the rest of its transaction may not be visible yet
            continue
        for batch in filter(None, map(log.of(BatchSealed).get, checkpoint.event.batch_ids)):
            place = (batch.line.partition, batch.event.policy)
            taken[place] = max(batch.line.offset, taken.get(place, -1))
    for batch in log.of(BatchSealed).values():
        event, line = batch.event, batch.line
        open_ids = [one for one in event.action_ids if (event.policy, one) not in trained and not _is_skipped(one, log)]
        if not open_ids or log.is_rejected(line):
            continue
        if line.offset > taken.get((line.partition, event.policy), -1):
            tally.counted["batches waiting for training"] += 1
        elif log.horizon.may_have_lost(SKIPS, line.timestamp_ms):
            tally.hidden[_SKIPS_DELETED] += len(open_ids)
        else:
            ids = ", ".join(open_ids)
            tally.fail(line, f"The trainer has taken it, but neither trained nor skipped action {ids}.")


def _is_skipped(action_id: str, log: LogIndex) -> bool:
    return any(one.event.stage == "trainer" for one in log.about(TurnSkipped, action_id))


def _pairs(event: BatchSealed | CheckpointPublished) -> list[tuple[str, str]]:
    return list(zip(event.sample_ids, event.action_ids, strict=False))


CHECK = Check(
    name="training",
    promise="An action trains a policy at most once; all agree on it.",
    blind="Whether the weights moved as the objective says.",
    run=run,
)
