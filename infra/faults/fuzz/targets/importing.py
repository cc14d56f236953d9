"""`imported`: a file on its way into the log, up to the records that Kafka would be given."""

from collections.abc import Sequence
from pathlib import Path

from infra.faults.fuzz.target import Answer
from infra.imports.job import Chats, Import
from infra.imports.turns import Target
from schemas.errors import RejectedError
from schemas.events import Event, EventRejected, Message
from streams.codec import encode
from streams.formats.detect import tell_format
from streams.formats.old_chats import NotTheFormatError
from streams.topics import TOPIC_OF

_TARGET = Target(policy="assistant", context_length=2_000)


def imported(file: Path, body: bytes) -> Answer:
    """Import a file with these bytes."""
    file.write_bytes(body)
    reasons: list[str] = []
    num_events = 0
    job = Import(set(), _TARGET, _Characters())
    try:
        for place, event in job.events(Chats(path=file, kind=tell_format(file))):
            try:
                _record(event)
            except RejectedError as error:
                for _, rejection in job.reject(place, error, event.id):
                    _record(rejection)
                    reasons.append(str(error))
            num_events += not isinstance(event, EventRejected)
            reasons += [event.reason] if isinstance(event, EventRejected) else []
    except NotTheFormatError as error:
        reasons.append(str(error))
    return Answer(is_taken=num_events > 0 or not reasons, reasons=reasons)


def _record(event: Event) -> None:
    encode(TOPIC_OF[type(event)], event, "import-0")


class _Characters:
    """A token per character."""

    template_digest = "characters"

    def turn_ids(
        self, messages: Sequence[Message], reply: Message, tools: str, template_arguments: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        read = tools + template_arguments + "".join(message.content for message in messages)
        return tuple(map(ord, read)), tuple(map(ord, reply.content))
