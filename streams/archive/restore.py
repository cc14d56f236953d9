"""`restore`: an archive's records into the topics of an empty broker, as they were, value for value.

Every record keeps partition, order, key, value, time and headers, and gets one header more, `ns_restored`: where it lay
at first. By that header the archiver knows that it has it already, and a restore that was cut off goes on where it
ended. Offsets are others: references in events are ids.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from schemas.errors import BrokerUnavailableError, RejectedError
from streams.archive.files import RAW
from streams.archive.reading import Archive
from streams.codec import Encoded
from streams.config import KafkaConfig
from streams.consumer import read_all
from streams.loading import Loader
from streams.recorded import RESTORED, is_restored_from
from streams.topics import TOPICS, Topic

Place = tuple[int, int]  # epoch and offset in the archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore has done to one topic."""

    topic: str
    num_records: int
    num_there: int  # that an earlier restore had already brought back


def restore(archive: Archive, kafka: KafkaConfig, report: Callable[[Restored], None]) -> None:
    """Fills the topics, one after the other.

    Args:    kafka: topics that exist, and are empty or partly restored; report: called when a topic is done.
    Raises:  RejectedError: a topic holds records of its own, or a file of the archive is damaged;
             BrokerUnavailableError: it stopped answering; call again, it goes on.
    """
    if not all(one.done for one in archive.manifest.forgotten):
        message = f"{archive.folder} has an erasure that is not done: let its archiver do it first (nextstate up)."
        raise RejectedError(message)
    for topic in TOPICS:  # before anything is written
        _last_restored(archive, kafka, topic)
    loader = Loader(kafka)
    for topic in TOPICS:
        report(_restore_topic(archive, kafka, loader, topic))


def _restore_topic(archive: Archive, kafka: KafkaConfig, loader: Loader, topic: Topic) -> Restored:
    last = _last_restored(archive, kafka, topic)
    num_new = num_there = 0
    for row in _rows(archive, topic):
        place = (row["epoch"], row["offset"])
        if place <= last.get(row["partition"], (-1, -1)):
            num_there += 1
            continue
        loader.load(topic, _marked(row, _text(archive, place)), row["timestamp_ms"], row["partition"])
        num_new += 1
    try:
        loader.finish()
    except BrokerUnavailableError as error:
        message = f"{topic.name!r} is not restored: {error} Run restore again, it goes on from there."
        raise BrokerUnavailableError(message) from error
    return Restored(topic=topic.name, num_records=num_new, num_there=num_there)


def _rows(archive: Archive, topic: Topic) -> Iterator[dict[str, Any]]:
    for batch in archive.rows([topic]):
        yield from batch.select(["partition", "epoch", "offset", *RAW.names]).to_pylist()


def _marked(row: dict[str, Any], mark: bytes) -> Encoded:
    headers = [(header["name"], header["value"]) for header in row["headers"] if header["name"] != RESTORED]
    return Encoded(key=row["key"], value=row["value"], headers=[*headers, (RESTORED, mark)])


def _last_restored(archive: Archive, kafka: KafkaConfig, topic: Topic) -> dict[int, Place]:
    """The place in the archive of the last record in each partition.

    Raises:  RejectedError: there is a record that no restore of this archive has written.
    """
    last: dict[int, Place] = {}
    for record in read_all(kafka, [topic]):
        text = dict(record.headers).get(RESTORED)
        if text is None or not is_restored_from(archive.manifest.archive_id, record.headers):
            message = (
                f"Topic {kafka.topic(topic.name)!r} holds records that are not from this archive: restore fills an "
                "empty broker. Stop the stack and set another kafka.topic_prefix, or another home."
            )
            raise RejectedError(message)
        last[record.partition] = _place(text)
    return last


def _text(archive: Archive, place: Place) -> bytes:
    return f"{archive.manifest.archive_id}/{place[0]}/{place[1]}".encode()


def _place(text: bytes) -> Place:
    _, epoch, offset = text.decode().split("/")
    return int(epoch), int(offset)
