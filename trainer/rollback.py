"""`roll_back`: a new version of a policy with the weights of an older one, as one event.

The trainer is the only writer of versions, and this takes its place for a moment: under the same transactional id, so
that a version of the trainer's and this one never get the same number. A trainer that runs is fenced out by it, finds
the event and starts again from the version that it makes (trainer/loop.py); the reloader routes to it. Consumes what is
committed; produces one PolicyRolledBack, with nothing else in its transaction.
"""

from contextlib import closing
from dataclasses import dataclass

from schemas.clock import now_ms
from schemas.errors import CheckpointInvalidError, RejectedError
from schemas.events import PolicyRolledBack
from schemas.identity import new_id
from streams import topics
from streams.checkpoints import local_folder, verify
from streams.config import KafkaConfig
from streams.transactions import TransactionalProducer
from streams.version_line import BASE, VersionLine
from trainer.news import News
from trainer.resume import read_committed, writer_of

INSTANCE = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """What was said, and which versions it leaves behind."""

    event: PolicyRolledBack
    left: tuple[int, ...]


def roll_back(kafka: KafkaConfig, policy: str, to_version: int | None, reason: str) -> RolledBack:
    """Makes the version.

    Args:    to_version: None: the one that the version which serves continues from; 0: the base model.
    Raises:  RejectedError: there is no such version, it was refused, or its weights are not here any more;
             BrokerUnavailableError, FatalError: the log cannot be read or written.
    """
    line = read_committed(kafka, policy).line
    if to_version is None:
        with closing(News(kafka, policy)) as news:
            to_version = _before(line, news.served_version() or line.head, policy)
    _check(line, policy, to_version)  # a trainer is not disturbed for a version that is none
    producer = TransactionalProducer(kafka, writer_of(policy), instance=INSTANCE)
    try:
        producer.init()
        line = read_committed(kafka, policy).line  # what the trainer had under way is in it by now, or never will be
        _check(line, policy, to_version)
        event = PolicyRolledBack(
            id=new_id(),
            time_ms=now_ms(),
            policy=policy,
            version=line.newest + 1,
            to_version=to_version,
            reason=reason,
        )
        with producer.transaction():
            producer.send(topics.PROMOTIONS, event)
    finally:
        producer.close()
    return RolledBack(event=event, left=tuple(range(to_version + 1, event.version)))


def _before(line: VersionLine, version: int, policy: str) -> int:
    older = [one for one in line.ancestry(version) if one != version and line.origin(one) != line.origin(version)]
    if not older:
        message = f"Policy {policy!r} serves its base model; there is no version before that to go back to."
        raise RejectedError(message)
    return older[0]


def _check(line: VersionLine, policy: str, version: int) -> None:
    if not line.knows(version):
        there = f"there are 0, its base model, to {line.newest}" if line.newest else "it has only its base model, 0"
        message = f"Policy {policy!r} has no version {version}; {there}."
        raise RejectedError(message)
    if line.origin(version) == line.origin(line.head):
        message = f"Policy {policy!r} has the weights of version {version} already, as version {line.head}."
        raise RejectedError(message)
    refused_by = line.refused_by(version)
    if refused_by is not None:
        message = f"The gate refused version {refused_by}: {line.refusals[refused_by].reason} Choose another version."
        raise RejectedError(message)
    checkpoint = line.weights(version)
    if checkpoint is None and line.origin(version) != BASE:
        message = f"The checkpoint of version {version} of {policy!r} is no longer in the log; choose another version."
        raise RejectedError(message)
    if checkpoint is not None:
        try:
            verify(local_folder(checkpoint.url), checkpoint.manifest_digest)
        except CheckpointInvalidError as error:
            message = f"Version {version} of {policy!r} is not kept any more, or damaged; choose another. {error}"
            raise RejectedError(message) from error
