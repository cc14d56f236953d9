"""What a reloader says in the log: an engine has taken a version, or a checkpoint cannot be used."""

from schemas.clock import now_ms, writable_ms
from schemas.errors import RejectedError
from schemas.events import EventRejected, PolicyLoaded
from schemas.identity import derived_id
from serving.shelf import Offer
from streams.recorded import Recorded

STAGE = "reload"
BASE_CHECKPOINT = ""  # stands for the base model, which no checkpoint holds
CODE_VERSION = "1"  # raise it when the same checkpoint would be refused for other reasons


def policy_loaded(offer: Offer, instance: str, load_ms: int) -> PolicyLoaded:
    """The event of a load. One per version and server process: after a restart the same version is loaded anew."""
    checkpoint_id = BASE_CHECKPOINT if offer.checkpoint is None else offer.checkpoint.id
    is_own = offer.checkpoint is not None and offer.checkpoint.version == offer.version
    what = ("loaded", checkpoint_id) if is_own else ("rolled back", offer.policy, str(offer.version))
    return PolicyLoaded(
        id=derived_id(STAGE, CODE_VERSION, (*what, instance)),
        time_ms=now_ms(),
        policy=offer.policy,
        version=offer.version,
        checkpoint_id=checkpoint_id,
        engine=instance,
        adapter=offer.adapter,
        load_ms=load_ms,
    )


def base_loaded(policy: str, instance: str) -> PolicyLoaded:
    """The event of an engine that has the base model only: version 0, of no checkpoint."""
    return PolicyLoaded(
        id=derived_id(STAGE, CODE_VERSION, ("base", policy, instance)),
        time_ms=now_ms(),
        policy=policy,
        version=0,
        checkpoint_id=BASE_CHECKPOINT,
        engine=instance,
        adapter="",
        load_ms=0,
    )


def rejection(recorded: Recorded, error: RejectedError, policy: str) -> EventRejected:
    """The event of a checkpoint that cannot be used; the same trouble found again is the same event."""
    place = (recorded.topic, str(recorded.partition), str(recorded.offset))
    event = recorded.event
    return EventRejected(
        id=derived_id(STAGE, CODE_VERSION, ("reject", *place, str(error))),
        time_ms=event.time_ms if event is not None else writable_ms(recorded.timestamp_ms),
        policy=event.policy if event is not None else policy,
        topic=recorded.topic,
        partition=recorded.partition,
        offset=recorded.offset,
        stage=STAGE,
        error=type(error).__name__,
        reason=str(error),
    )
