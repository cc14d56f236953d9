"""`for_policy`: recorded actions and next states as the history of a new policy.

The new policy has a version line of its own, which starts at the frozen base. None of its versions drew the recorded
tokens: those were drawn by versions of another policy, whose log-probs the engine reported. So the log-probs stay, and
an objective's ratio against them is right; their origin names who drew them; and the version of every token is 0, the
only one that both lines have in common, and the one from which the trainer counts how old they are. What nobody scored
stays so: it was no version's of the other policy either.
"""

from collections.abc import Iterable
from dataclasses import replace

from schemas.events import ActionTaken, Event, VersionSpan
from schemas.origin import UNSCORED
from streams.codec import encode
from streams.config import KafkaConfig
from streams.recorded import Recorded, record_of
from streams.topics import BY_NAME

PRODUCER = "rejudge"


def for_policy(records: Iterable[Recorded], policy: str) -> list[Recorded]:
    """The records that hold an event, as those of a policy; their places stay."""
    return [_relabelled(record, _of(policy, record.event)) for record in records if record.event is not None]


def drawn_by(action: ActionTaken) -> str:
    """The origin of an action's log-probs, seen from another policy."""
    if action.logprob_origin == UNSCORED:
        return UNSCORED
    versions = sorted({span.version for span in action.token_versions})
    return f"{action.logprob_origin}:{action.policy}@{','.join(map(str, versions))}"


def _of(policy: str, event: Event) -> Event:
    if not isinstance(event, ActionTaken) or event.policy == policy:
        return replace(event, policy=policy)
    num_tokens = len(event.response_ids)
    spans = (VersionSpan(version=0, start=0, end=num_tokens),) if event.token_versions else ()
    return replace(event, policy=policy, token_versions=spans, logprob_origin=drawn_by(event))


def _relabelled(record: Recorded, event: Event) -> Recorded:
    written = encode(BY_NAME[record.topic], event, PRODUCER)
    return record_of(
        KafkaConfig(),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        headers=written.headers,
        key=written.key,
        value=written.value,
    )
