"""`context_of`: what every derived event copies from what it was derived from.

Owns the two laws of design promise 2 that all stages share: a derived event is about the same conversation, person and
policy as its input, and its time is the newest of its inputs' times.
"""

from typing import TypedDict

from schemas.events import Event, Source


class Context(TypedDict):
    """The fields of `Event` beside its id; as keyword arguments of a derived event."""

    time_ms: int
    policy: str
    conversation_id: str
    tenant: str
    subject: str
    source: Source
    episode_id: str | None
    group_id: str | None
    step: int | None


def context_of(about: Event, *others: Event) -> Context:
    """Context of an event derived from all of these; the first says whom it is about."""
    return Context(
        time_ms=max(event.time_ms for event in (about, *others)),
        policy=about.policy,
        conversation_id=about.conversation_id,
        tenant=about.tenant,
        subject=about.subject,
        source=about.source,
        episode_id=about.episode_id,
        group_id=about.group_id,
        step=about.step,
    )
