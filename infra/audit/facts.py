"""`Fact`: what the audit remembers of an event: ids, times and digests, never its words or tokens.

Consumes a record, produces the event with its large fields emptied, digests in their place. About 1.5 KB an event, so a
million events fit where their values would take gigabytes.
"""

from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from schemas import events as e
from schemas.identity import digest_bytes
from streams.recorded import Recorded

E_co = TypeVar("E_co", bound=e.Event, covariant=True)

_NOTHING_SAID = e.Message(role="assistant")
_LARGE: dict[type[e.Event], dict[str, Any]] = {  # fields that hold words, tokens or numbers, and what empties them
    e.ActionTaken: {
        "messages": (),
        "prompt_ids": (),
        "tools": "",
        "template_arguments": "",
        "reply": _NOTHING_SAID,
        "sampling": e.Sampling(),
        "response_ids": (),
        "response_logprobs": (),
    },
    e.NextStateObserved: {"messages": ()},
    e.FeedbackGiven: {"comment": ""},
    e.OutcomeReported: {"detail": ""},
    e.TransitionJoined: {"context": (), "reply": _NOTHING_SAID, "next_messages": ()},
    e.VerdictReached: {"votes": ()},
    e.HintExtracted: {"hints": ()},
    e.SampleBuilt: {
        "prompt_ids": (),
        "response_ids": (),
        "response_logprobs": (),
        "hints": (),
        "teacher_prompt_ids": (),
    },
    e.TurnSkipped: {"detail": ""},
    e.CheckpointPublished: {"metrics": {}},
    e.EventRejected: {"value_preview": ""},
    e.RunConfigured: {"settings": "", "versions": {}},
}


class Line(NamedTuple):
    """A record's place, Kafka's time of it, and the id of its event ("" where it has none that can be read)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    event_id: str


class Size(NamedTuple):
    """How much an action adds to its base, and what it drew."""

    num_messages: int
    num_prompt_ids: int
    num_response_ids: int


@dataclass(frozen=True, slots=True)
class Fact(Generic[E_co]):
    """An event, light, and its record. `tokens` and `logprobs` digest what an action or sample says was drawn."""

    event: E_co
    line: Line
    content: str  # digest of all that the event says
    size: Size | None = None
    tokens: str = ""
    logprobs: str = ""


def fact_of(event: e.Event, record: Recorded, line: Line) -> Fact[e.Event]:
    """What is remembered of a record's event."""
    light = replace(event, **_LARGE.get(type(event), {}))
    return Fact(light, line, _content(event, record), _size(event), *_drawn(event))


def _content(event: e.Event, record: Recorded) -> str:
    """Of what the event says, not of its bytes: a newer release writes the same event with one more empty field."""
    if isinstance(event, e.BatchSealed):  # its samples are in the bytes only
        return digest_bytes(record.value)
    return digest_bytes(orjson.dumps(event, option=orjson.OPT_SORT_KEYS))


def _size(event: e.Event) -> Size | None:
    if isinstance(event, e.ActionTaken):
        return Size(len(event.messages), len(event.prompt_ids), len(event.response_ids))
    return None


def _drawn(event: e.Event) -> tuple[str, str]:
    match event:
        case e.ActionTaken(sampling=e.Sampling(temperature=temperature)) | e.SampleBuilt(temperature=temperature):
            numbers = (event.response_logprobs, event.logprob_origin, event.token_versions, temperature)
            return digest_bytes(orjson.dumps(event.response_ids)), digest_bytes(orjson.dumps(numbers))
        case _:
            return "", ""
