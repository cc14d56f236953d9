"""`read_cloudevent`: an event in CloudEvents' JSON form, as producers send it over HTTP.

The same attributes and the same value as on Kafka (streams/codec.py), in one JSON object: `data` is what the JSON
Schema of its type describes. Consumes parsed JSON, produces events of the topics that producers may write.
"""

from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from schemas.errors import MalformedEventError, UnknownEventError
from schemas.events import ActionTaken, Event
from schemas.identity import named_id, tenants_id
from schemas.upcast import READABLE
from streams.codec import read_event, read_time
from streams.topics import FROM_OUTSIDE

ACCEPTED = frozenset(  # the newest version of each type, and all before it
    name
    for name in READABLE
    for topic in FROM_OUTSIDE
    for event in topic.types
    if name.rpartition(".v")[0] == event.type.rpartition(".v")[0]
)
_NAMED = ("action_id", "parent_action_id", "base_action_id")
_Named = Annotated[str, msgspec.Meta(min_length=1)]


class _Envelope(msgspec.Struct):
    """CloudEvents 1.0, and what we need of it. Extension attributes are ignored."""

    specversion: Literal["1.0"]
    id: _Named
    source: _Named
    type: _Named
    time: _Named  # optional in CloudEvents; without it, the same event sent again would be another
    data: dict[str, Any]
    subject: str | None = None


def read_cloudevent(raw: object, tenant: str) -> Event:
    """The event, as `tenant` says it.

    Args:    raw: parsed JSON; tenant: becomes the event's where it names none.
    Raises:  MalformedEventError: it is no CloudEvent, does not fit its schema, has no key, or names another tenant;
             its tools or template arguments are not the JSON that they should be;
             UnknownEventError: a type that producers do not write; TokenMismatchError: lengths that differ.
    """
    try:
        envelope = msgspec.convert(raw, _Envelope, strict=True)
    except msgspec.ValidationError as error:
        message = f"It is not a CloudEvent 1.0 of ours in JSON: {error}."
        raise MalformedEventError(message) from error
    if envelope.type not in ACCEPTED:
        message = f"Type {envelope.type!r} is none that producers write; these are: {', '.join(sorted(ACCEPTED))}."
        raise UnknownEventError(message)
    about = {"tenant": tenant} if envelope.subject is None else {"tenant": tenant, "subject": envelope.subject}
    own = {"id": envelope.id, "time_ms": read_time(envelope.type, envelope.time)}
    event = read_event(envelope.type, {**about, **envelope.data, **own})
    if event.tenant != tenant:
        message = f"{event.type} {event.id} is of tenant {event.tenant!r}, but the key is {tenant!r}'s; leave it out."
        raise MalformedEventError(message)
    _refuse_without_key(event)
    _refuse_other_json(event)
    return _in_tenants_ids(event)


def _in_tenants_ids(event: Event) -> Event:
    """The event, its own id and those of the actions that it names as they are in the log."""
    given = {name: value for name in _NAMED if (value := getattr(event, name, None))}
    named: dict[str, Any] = {name: named_id(event.tenant, value) for name, value in given.items()}
    return replace(event, id=tenants_id(event.tenant, event.id), **named)


def _refuse_without_key(event: Event) -> None:
    if not (event.conversation_id or event.episode_id):
        message = f"{event.type} {event.id} names no conversation_id; say which conversation it belongs to."
        raise MalformedEventError(message)


def _refuse_other_json(event: Event) -> None:
    """A text that is JSON is looked into here only: who produces through us can be told, and nobody reads it twice."""
    match event:
        case ActionTaken():
            _read_inner(event, "tools", list[dict[str, Any]])
            _read_inner(event, "template_arguments", dict[str, Any])


def _read_inner(event: ActionTaken, field: str, kind: Any) -> None:
    try:
        msgspec.json.decode(getattr(event, field), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:  # the latter of thousands of brackets
        message = f"{event.type} {event.id} has {field} that are not the JSON of its schema: {error}."
        raise MalformedEventError(message) from error
