"""`erase`: forget a subject: its words leave archive and views, and what its samples have moved is listed.

Writes a SubjectErased event, which the archiver obeys; where no stack runs, this command is the archiver.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import click
import orjson

from infra.commands.log import open_log
from infra.home import Home
from infra.run_file import RunFile
from infra.settings import Settings, archive_folder
from infra.stack import Report
from schemas.clock import now_ms
from schemas.errors import RejectedError
from schemas.events import SubjectErased
from schemas.identity import new_id, subject_digest
from streams.archive.archiver import catch_up
from streams.archive.manifest import read_manifest
from streams.branches import branch_of
from streams.columns import view_name
from streams.config import KafkaConfig
from streams.producer import EventProducer
from streams.query import LogQuery
from streams.topics import ERASURES, TOPICS

NOT_DONE = 1
WAIT_S = 120.0
_POLL_S = 0.2
_SAMPLES = "SELECT event_id FROM samples WHERE subject = ? AND tenant = ? ORDER BY 1"
_CHECKPOINTS = """
    SELECT checkpoint_id, policy, trained_version, list(sample_id ORDER BY sample_id)
    FROM turns
    WHERE subject = ? AND tenant = ? AND checkpoint_id IS NOT NULL
    GROUP BY ALL ORDER BY policy, trained_version
"""


def erase_subject(settings: Settings, subject: str, tenant: str, report: Report, *, as_json: bool) -> int:
    """Erases it, and prints what it was in.

    Raises:  RejectedError: nothing in the log is about it.
    """
    with open_log(settings) as log:
        assert log.kafka is not None
        query = log.query()
        counts, newest_ms = _counts(query, subject, tenant)
        samples = [row[0] for row in query.sql(_SAMPLES, [subject, tenant]).rows]
        checkpoints = query.sql(_CHECKPOINTS, [subject, tenant]).rows
        event = SubjectErased(
            id=new_id(),
            time_ms=max(now_ms(), newest_ms),  # a gateway's clock may be ahead of ours
            policy=settings.policy,
            tenant=tenant,
            subject_digest=subject_digest(subject),
            sample_ids=tuple(samples),
            checkpoint_ids=tuple(row[0] for row in checkpoints),
        )
        # The log itself last: cut off before, it is found there again.
        for kafka in (*(branch_of(log.kafka, run) for run in log.runs()), log.kafka):
            asyncio.run(_send(kafka, event))
        is_done = _wait_for_archive(settings, log.kafka, event, report)
    touched = [
        {"checkpoint": f"{policy}@{version}", "id": checkpoint_id, "samples": sample_ids}
        for checkpoint_id, policy, version, sample_ids in checkpoints
    ]
    _print(settings, {"event_id": event.id, "erased": counts, "checkpoints": touched}, as_json=as_json)
    return 0 if is_done else NOT_DONE


def _counts(query: LogQuery, subject: str, tenant: str) -> tuple[dict[str, int], int]:
    """Events about the subject, by view, and the time (epoch ms) of the newest."""
    about = "epoch_ms(max(time)) FROM {name} WHERE subject = $1 AND tenant = $2"
    names = [view_name(topic) for topic in TOPICS]
    parts = (f"SELECT '{name}', count(*), {about.format(name=name)}" for name in names)
    found = query.sql(" UNION ALL ".join(parts), [subject, tenant])
    counts = {name: count for name, count, _ in found.rows if count}
    if not counts:
        raise RejectedError(
            f"Nothing in the log is about subject {subject!r} of tenant {tenant!r}: "
            "SELECT DISTINCT tenant, subject FROM actions lists those there are."
        )
    return counts, max(newest_ms for _, count, newest_ms in found.rows if count)


async def _send(kafka: KafkaConfig, event: SubjectErased) -> None:
    producer = EventProducer(kafka, "erase")
    try:
        await producer.send(ERASURES, event)
    finally:
        await producer.close()


def _wait_for_archive(settings: Settings, kafka: KafkaConfig, event: SubjectErased, report: Report) -> bool:
    """Whether no file holds anything of the subject any more."""
    folder = archive_folder(settings)
    if not settings.archive.enabled:
        report("archive.enabled is false: views over the broker have forgotten; an archive elsewhere has not.")
        return True
    if not RunFile(Home(settings.home)).read():  # no stack, or only its broker, started by us
        catch_up(settings.archive, kafka, folder)
    deadline = time.monotonic() + WAIT_S
    while not _is_done(folder, event.id):
        if time.monotonic() > deadline:
            report("The archiver has not done it yet: it will; see nextstate status and the log of the archiver.")
            return False
        time.sleep(_POLL_S)
    return True


def _is_done(folder: Path, event_id: str) -> bool:
    return any(one.done and one.erasure.event_id == event_id for one in read_manifest(folder).forgotten)


def _print(settings: Settings, facts: dict[str, object], *, as_json: bool) -> None:
    left = _left(settings)
    if as_json:
        click.echo(orjson.dumps({**facts, "left": left}, option=orjson.OPT_INDENT_2).decode())
        return
    erased, checkpoints = facts["erased"], facts["checkpoints"]
    assert isinstance(erased, dict)
    assert isinstance(checkpoints, Sequence)
    click.echo("Erased: " + ", ".join(f"{count} {name}" for name, count in erased.items()))
    for one in checkpoints:
        click.echo(
            f"{one['checkpoint']} was moved by {len(one['samples'])} of its samples: {', '.join(one['samples'])}"
        )
    for sentence in left:
        click.echo(sentence)


def _left(settings: Settings) -> list[str]:
    """Where words may still be, and for how long."""
    sentences = [
        "Kafka's own copy goes with its retention: samples and batches after about 2 days, all else after about 7.",
        "What waits for training does not train any more. Files made by export and replay --out are yours to delete.",
    ]
    spool = Home(settings.home).root / "spool"
    waiting = [path for path in sorted(spool.glob("*")) if path.is_file() and path.stat().st_size]
    if waiting:
        names = ", ".join(path.name for path in waiting)
        sentences.append(
            f"The spool ({names} in {spool}) holds records that Kafka has not taken: they are dropped on arrival; "
            "a file that ends in .cut never arrives, delete it."
        )
    return sentences
