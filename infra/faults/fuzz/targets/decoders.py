"""Every event decoder: any headers and value that a record can have, as consumers read them.

The law: an event, or a rejection with its reason. What was read holds the laws of its type, so it can be written again
and is then the same; and the archive can keep it.
"""

import zlib
from pathlib import Path

from infra.faults.fuzz.case import Case
from infra.faults.fuzz.json_damage import damaged
from infra.faults.fuzz.odd import TIMES
from infra.faults.fuzz.seeds import golden_records
from infra.faults.fuzz.target import Answer, Material, Target, WrongError
from schemas.errors import RejectedError
from schemas.events import BatchSealed, Event
from schemas.upcast import READABLE
from streams.archive.files import rows_of
from streams.codec import Headers, decode, encode
from streams.recorded import Recorded
from streams.topics import TOPIC_OF

_ARCHIVED = 20  # of so many events one becomes a row: that takes longer than all else

_ODD_HEADERS = (
    *({"ce_time": value} for value in TIMES if isinstance(value, str)),
    *({"ce_id": value} for value in ("", "\xff", "\xed\xa0\x80", "a\nb", "x" * 300, "\0")),
    *({"ce_specversion": value} for value in ("0.3", "", "1.0 ")),
    *({"ce_type": value} for value in (*READABLE, "", "nextstate.action.taken.v99", "x" * 5000, "\xff", "a\nb")),
    *({"content-type": value} for value in ("application/vnd.apache.arrow.stream", "text/plain", "")),
)


def make(name: str, folder: Path) -> Target:  # noqa: ARG001 - every target's form
    """The target."""
    return Decoders()


class Decoders:
    """All of them: the header `ce_type` says which one."""

    def __init__(self) -> None:
        seeds = [
            Case({"headers": dict(record.headers)}, record.value) for record in golden_records() if not record.is_batch
        ]
        common = {"headers": seeds[0].head["headers"]}
        self.material = Material(
            seeds=seeds,
            mutators=(damaged,),
            heads=[{"headers": {**common["headers"], **odd}} for odd in _ODD_HEADERS],
        )

    def fresh(self) -> None:
        """Nothing is kept between records."""

    def attempt(self, case: Case) -> Answer:
        """One record. A header's text is its bytes, one a letter."""
        headers = [(name, value.encode("latin-1", "replace")) for name, value in case.pairs("headers")]
        try:
            event = decode(headers, None if case.head.get("deleted") else case.body)
        except RejectedError as error:
            return Answer(is_taken=False, reasons=[str(error)])
        _refuse_unwritable(event)
        if zlib.crc32(case.body) % _ARCHIVED == 0:
            _refuse_unarchived(event, headers, case.body)
        return Answer(is_taken=True)


def _refuse_unwritable(event: Event) -> None:
    if isinstance(event, BatchSealed):  # is written with its samples
        return
    try:
        record = encode(TOPIC_OF[type(event)], event, "fuzz")
    except RejectedError as error:
        raise WrongError(f"what was read cannot be written: {error}") from error
    if decode(record.headers, record.value) != event:
        raise WrongError(f"{event.type} is read back as another")


def _refuse_unarchived(event: Event, headers: Headers, value: bytes) -> None:
    topic = TOPIC_OF[type(event)]
    record = Recorded(
        topic=topic.name,
        partition=0,
        offset=0,
        timestamp_ms=event.time_ms,
        headers=headers,
        key=None,
        value=value,
        event=event,
        error=None,
    )
    if rows_of(topic, [record]).num_rows != 1:
        raise WrongError(f"{event.type} has no row in the archive")
