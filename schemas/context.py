"""`context_of`: what an event copies from the event that it follows or is derived from.

Owns the two laws of design promise 2 that all stages share: a derived event is about the same conversation, person and
policy as its input, and its time is the newest of its inputs' times. What is observed has a time of its own.
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


def context_at(about: Event, time_ms: int, *, source: Source, subject: str = "") -> Context:
    """Context of what was observed of an event later.

    Args:    source: where it comes from; subject: whose word it is, "": the event's own subject's.
    """
    return context_of(about) | {"time_ms": time_ms, "source": source, "subject": subject or about.subject}
