"""Events of one round in a stack's log, by the name of their action."""

from dataclasses import replace

from schemas import events as e
from tests.example_events import EXAMPLES

CHECKPOINT, SAMPLE, LOADED = (
    next(event for event in EXAMPLES if isinstance(event, kind))
    for kind in (e.CheckpointPublished, e.SampleBuilt, e.PolicyLoaded)
)


def next_state(action: str, **changes: object) -> e.NextStateObserved:
    return replace(
        e.NextStateObserved(id=f"next of {action}", time_ms=0, policy="assistant", action_id=action), **changes
    )


def sample(action: str) -> e.SampleBuilt:
    return replace(SAMPLE, id=f"sample of {action}", action_id=action)


def skip(action: str, stage: str, reason: e.SkipReason = "rejected") -> e.TurnSkipped:
    return e.TurnSkipped(
        id=f"skip of {action}", time_ms=0, policy="assistant", action_id=action, reason=reason, stage=stage
    )


def batch(*actions: str) -> e.BatchSealed:
    return e.BatchSealed(
        id=f"batch of {actions}",
        time_ms=0,
        policy="assistant",
        samples_partition=0,
        first_offset=0,
        last_offset=len(actions) - 1,
        sample_ids=tuple(f"sample of {action}" for action in actions),
        action_ids=actions,
    )


def checkpoint(version: int, *actions: str) -> e.CheckpointPublished:
    return replace(CHECKPOINT, version=version, action_ids=actions)


def loaded(version: int) -> e.PolicyLoaded:
    return replace(LOADED, version=version)
