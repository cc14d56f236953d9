"""`Publication`: everything that one batch makes the trainer say, and `publish`, which says it as one transaction.

Pure until `publish`: ids are digests of what the events derive from, times are the newest of their inputs', so a batch
trained again after a crash is described by the same events.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from schemas.clock import writable_ms
from schemas.errors import RejectedError
from schemas.events import ActionTrained, BatchSealed, CheckpointPublished, EventRejected, SkipReason, TurnSkipped
from schemas.identity import derived_id
from schemas.origin import scored_by
from streams import topics
from streams.consumer import GroupConsumer, Recorded
from streams.transactions import TransactionalProducer
from trainer.batches import Rejected, Skipped, Turn
from trainer.checkpoint import Parentage, Saved

STAGE = "trainer"
CODE_VERSION = "1"  # raise it when the same batch would give other events


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What one batch leads to. Without a checkpoint nothing trained."""

    checkpoint: CheckpointPublished | None = None
    trained: tuple[ActionTrained, ...] = ()
    skipped: tuple[TurnSkipped, ...] = ()
    rejected: tuple[EventRejected, ...] = ()


def checkpoint_published(
    batch: BatchSealed, parentage: Parentage, saved: Saved, turns: Sequence[Turn], metrics: dict[str, float]
) -> CheckpointPublished:
    """The event of a saved version."""
    return CheckpointPublished(
        id=derived_id(STAGE, CODE_VERSION, ("checkpoint", batch.id, str(parentage.version))),
        time_ms=batch.time_ms,
        policy=batch.policy,
        version=parentage.version,
        parent_version=parentage.parent_version,
        url=saved.url,
        manifest_digest=saved.manifest_digest,
        kind=parentage.kind,
        base_model=parentage.base_model,
        objective=parentage.objective,
        batch_ids=parentage.batch_ids,
        sample_ids=parentage.sample_ids,
        action_ids=tuple(turn.action_id for turn in turns),
        metrics=metrics,
    )


def action_trained(checkpoint: CheckpointPublished, turn: Turn) -> ActionTrained:
    """The entry that keeps an action from training twice; a step scores with the version that it starts from."""
    scorer = scored_by(checkpoint.policy, checkpoint.parent_version)
    return ActionTrained(
        id=derived_id(STAGE, CODE_VERSION, ("trained", checkpoint.id, turn.action_id)),
        time_ms=checkpoint.time_ms,
        policy=checkpoint.policy,
        action_id=turn.action_id,
        sample_id=turn.sample_id,
        version=checkpoint.version,
        logprob_origin=scorer if turn.is_unscored else turn.logprob_origin,
        **asdict(turn.origin),
    )


def skip_id(batch_id: str, sample_id: str, reason: SkipReason) -> str:
    """Of the event of a turn that arrived in a batch and does not train."""
    return derived_id(STAGE, CODE_VERSION, ("skip", batch_id, sample_id, reason))


def turn_skipped(batch: BatchSealed, skipped: Skipped) -> TurnSkipped:
    """The event of a turn that arrived in a batch and does not train."""
    return TurnSkipped(
        id=skip_id(batch.id, skipped.turn.sample_id, skipped.reason),
        time_ms=batch.time_ms,
        policy=batch.policy,
        action_id=skipped.turn.action_id,
        reason=skipped.reason,
        detail=skipped.detail,
        stage=STAGE,
        **asdict(skipped.turn.origin),
    )


def turn_rejected(batch: BatchSealed, rejected: Rejected) -> TurnSkipped:
    """The skip beside a rejection, which names a place but no action: every turn is accounted for."""
    return turn_skipped(batch, Skipped(turn=rejected.turn, reason="rejected", detail=str(rejected.error)))


def sample_rejected(batch: BatchSealed, recorded: Recorded, rejected: Rejected) -> EventRejected:
    """The event of a sample that cannot be used; its batch still lies at the place that it names."""
    whole = batch_rejected(recorded, rejected.error, batch.policy)
    event_id = derived_id(STAGE, CODE_VERSION, ("reject", batch.id, rejected.turn.sample_id))
    return replace(whole, id=event_id, time_ms=batch.time_ms, **asdict(rejected.turn.origin))


def batch_rejected(recorded: Recorded, error: RejectedError, policy: str) -> EventRejected:
    """The event of a record that is no usable batch at all."""
    place = (recorded.topic, str(recorded.partition), str(recorded.offset))
    return EventRejected(
        id=derived_id(STAGE, CODE_VERSION, ("reject", *place)),
        time_ms=writable_ms(recorded.timestamp_ms),  # its producer's clock may say anything
        policy=policy,
        topic=recorded.topic,
        partition=recorded.partition,
        offset=recorded.offset,
        stage=STAGE,
        error=type(error).__name__,
        reason=str(error),
    )


def publish(
    producer: TransactionalProducer, consumer: GroupConsumer, recorded: Recorded, publication: Publication
) -> None:
    """Says all of it and moves the group behind `recorded`, or none of it."""
    with producer.transaction(consumer, recorded):
        for rejection in publication.rejected:
            producer.send(topics.REJECTIONS, rejection)
        for skip in publication.skipped:
            producer.send(topics.SKIPS, skip)
        for entry in publication.trained:
            producer.send(topics.TRAINED, entry)
        if publication.checkpoint is not None:
            producer.send(topics.CHECKPOINTS, publication.checkpoint)
            producer.send(topics.CURRENT_POLICIES, publication.checkpoint)
