"""`reckon`: a ledger held against the log, and the log against its own promises.

What must hold after any fault: every acknowledged reply is in the log; every reaction and thumb is; every turn became a
sample or a skip, one with a reaction a sample, or a skip because the reaction taught nothing; every sample of a sealed
batch was trained; no action trained twice; the trainer's offset is behind the batch of each version; versions have no
gap; the newest good one was loaded; and `nextstate audit` finds nothing.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.audit import audit
from infra.faults.ledger import Ledger
from processors.build import UNREWARDED
from schemas.clock import now_ms
from streams import topics
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.lags import committed_offsets
from streams.recorded import Recorded
from streams.version_line import BASE, VersionLine
from trainer.publish import skip_id
from trainer.resume import writer_of

_LOOK_S = 2.0
_ARCHIVED_WITHIN_S = 60.0  # a flush is due each second; other work may keep the cores
_ASK_MORE = 3  # failures of the audit that are told by their sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """What was found. All empty, and nothing is wrong."""

    lost: tuple[str, ...]  # what was acknowledged or due, and is not in the log
    twice: tuple[str, ...]  # actions that trained more than once
    wrong: tuple[str, ...]  # sentences
    num_trained: int
    num_versions: int


async def settled(kafka: KafkaConfig, ledger: Ledger, timeout_s: float) -> bool:
    """Whether everything is in the log that ought to be before the deadline, with nobody talking any more."""
    end_s = time.monotonic() + timeout_s
    while lost(await asyncio.to_thread(_read, kafka), ledger):
        if time.monotonic() > end_s:
            return False
        await asyncio.sleep(_LOOK_S)
    return True


def reckon(kafka: KafkaConfig, ledger: Ledger, archive: Path | None = None) -> Reckoning:
    """Everything, when it has settled. Blocking.

    Args:    archive: folder that must hold each record of the log once; None: not looked at.
    """
    unarchived = _unarchived_at_last(kafka, archive) if archive else []
    records = _read(kafka)
    checkpoints = _events(records, topics.CHECKPOINTS)
    trained = Counter(action_id for one in checkpoints for action_id in one.action_ids)
    offsets = trainer_offsets(kafka, checkpoints[0].policy) if checkpoints else {}
    return Reckoning(
        lost=tuple(sorted(lost(records, ledger))),
        twice=tuple(sorted(action_id for action_id, times in trained.items() if times > 1)),
        wrong=(*_audited(records), *_gaps(checkpoints), *offsets_left(records, offsets), *unarchived),
        num_trained=len(trained),
        num_versions=len(checkpoints),
    )


def lost(records: Sequence[Recorded], ledger: Ledger) -> set[str]:
    """What was acknowledged, or is due, and is not in the log."""
    actions = ledger.acknowledged - ledger.unrecorded - _ids(records, topics.ACTIONS)
    said = {one.action_id for one in _events(records, topics.NEXT_STATES) if one.kind == "messages"}
    reactions = ledger.reacted_to - said  # that nothing will follow is said of many an action later
    thumbs = ledger.rated - _values(records, topics.FEEDBACK, "action_id")
    return {
        *(f"action {one}" for one in actions),
        *(f"the next state of {one}" for one in reactions),
        *(f"the thumb on {one}" for one in thumbs),
        *due(records, ledger),
    }


def trainer_offsets(kafka: KafkaConfig, policy: str) -> dict[int, int]:
    """Behind what a policy's trainer has finished, by partition of `batches`."""
    found = committed_offsets(kafka, writer_of(policy))
    return {number: offset for (topic, number), offset in found.items() if topic == topics.BATCHES.name}


def due(records: Sequence[Recorded], ledger: Ledger) -> set[str]:
    """What ought to have been done, and is not yet."""
    actions = {one.id for one in _events(records, topics.ACTIONS)}
    skipped = {one.action_id for one in _events(records, topics.SKIPS) if one.reason != "branch"}  # of a next state
    done = _values(records, topics.SAMPLES, "action_id") | skipped
    turns = {f"sample or skip of {one}" for one in ledger.acknowledged & actions - done}
    # Who was killed must not take a turn for one that nobody reacted to, or for one of which something is missing.
    heard = {one.action_id for one in _events(records, topics.SKIPS) if one.reason in UNREWARDED}
    taught = _values(records, topics.SAMPLES, "action_id")
    turns |= {f"the sample of {one}, which has a reaction" for one in (ledger.reacted_to & skipped) - taught - heard}
    sealed = {action_id for one in _events(records, topics.BATCHES) for action_id in one.action_ids}
    packed = {f"the batch of {one}" for one in _values(records, topics.SAMPLES, "action_id") - sealed}
    # None of the suite's turns is one that a trainer may skip: too old, greedy, without a signal, by no version.
    trained = _values(records, topics.TRAINED, "action_id")
    return turns | packed | {f"training on {one}" for one in sealed - trained} | unserved(records)


def unserved(records: Sequence[Recorded]) -> set[str]:
    """The newest version that nobody has refused, where the engine of the newest load has not taken it."""
    rejected = {(one.topic, one.partition, one.offset) for one in _events(records, topics.REJECTIONS)}
    line = VersionLine()
    for record in records:
        if record.topic in {topics.CHECKPOINTS.name, topics.PROMOTIONS.name} and _place(record) not in rejected:
            line.note(record.event)
    loads = _events(records, topics.RELOADS)
    loaded = {one.version for one in loads if one.engine == loads[-1].engine}
    return {f"the load of version {line.head}"} if line.head != BASE and line.head not in loaded else set()


def offsets_left(records: Sequence[Recorded], committed: Mapping[int, int]) -> list[str]:
    """Versions that were published without their offset.

    Either it is not committed now, or the batch was taken once more: then all of it was trained already. One that later
    offsets made good unseen, with no start in between, has harmed nobody.
    """
    batches: dict[str, list[Recorded]] = {}
    for one in records:
        if one.topic == topics.BATCHES.name and one.event is not None:
            batches.setdefault(one.event.id, []).append(one)
    skips = _ids(records, topics.SKIPS)
    found = []
    for checkpoint in _events(records, topics.CHECKPOINTS):
        sent = [batches[batch_id] for batch_id in checkpoint.batch_ids if batch_id in batches]
        behind = [first for first, *_ in sent if committed.get(first.partition, 0) <= first.offset]
        is_sent_once = all(len(copies) == 1 for copies in sent)  # a producer that died may have sent a batch again
        is_again = any(
            skip_id(batch_id, sample_id, "already_trained") in skips
            for batch_id in checkpoint.batch_ids
            for sample_id in checkpoint.sample_ids
        )
        if behind or (is_again and is_sent_once):
            found.append(f"Version {checkpoint.version} was published without its offset.")
    return found


def _audited(records: Sequence[Recorded]) -> list[str]:
    report = audit(records, now_ms=now_ms(), max_open_age_s=86_400.0)
    failures = [finding for tally in report.tallies for finding in tally.failures]
    told = [f"audit, {one.check}: {one.what}" for one in failures[:_ASK_MORE]]
    more = len(failures) - len(told)
    return [*told, f"audit: {more} more failures"] if more > 0 else told


def _gaps(checkpoints: Sequence[Any]) -> list[str]:
    versions = sorted(one.version for one in checkpoints)
    return [] if versions == list(range(1, len(versions) + 1)) else [f"versions are {versions}"]


def _unarchived_at_last(kafka: KafkaConfig, folder: Path) -> list[str]:
    """What is still not in the archive when the archiver has had its time."""
    end_s = time.monotonic() + _ARCHIVED_WITHIN_S
    while (found := _unarchived(_read(kafka), folder)) and time.monotonic() < end_s:
        time.sleep(_LOOK_S)
    return found


def _unarchived(records: Sequence[Recorded], folder: Path) -> list[str]:
    from streams.archive.files import read_tables, records_of
    from streams.archive.manifest import read_manifest

    files = read_manifest(folder).files
    there = Counter(_place(one) for file in files for part in read_tables(folder, file) for one in records_of(part))
    logged = {_place(one) for one in records}
    doubled = sum(times > 1 for times in there.values())
    missing = len(logged - there.keys())
    return [
        *([f"{missing} records of the log are not in the archive"] if missing else []),
        *([f"{doubled} records are in the archive twice"] if doubled else []),
    ]


def _place(record: Recorded) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _read(kafka: KafkaConfig) -> list[Recorded]:
    return list(read_all(kafka, topics.TOPICS))


def _events(records: Sequence[Recorded], topic: topics.Topic) -> list[Any]:
    return [one.event for one in records if one.topic == topic.name and one.event is not None]


def _ids(records: Sequence[Recorded], topic: topics.Topic) -> set[str]:
    return {event.id for event in _events(records, topic)}


def _values(records: Sequence[Recorded], topic: topics.Topic, field: str) -> set[str]:
    return {getattr(event, field) for event in _events(records, topic)}
