"""`restore`: an archive back into an empty broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.commands.log import started_broker
from infra.home import Home
from infra.run_file import RunFile
from infra.settings import Settings, archive_folder
from infra.stack import Report
from schemas.errors import RejectedError
from streams.admin import create_topics
from streams.archive.manifest import MANIFEST
from streams.archive.reading import Archive
from streams.archive.restore import Restored
from streams.archive.restore import restore as restore_topics
from streams.config import KafkaConfig


def restore_archive(settings: Settings, folder: Path | None, report: Report) -> int:
    """Fills the configured broker, or this home's own, from an archive; the stack's own where none is named."""
    folder = folder or archive_folder(settings)
    archive = Archive.find(folder)
    if archive is None:
        raise RejectedError(f"{folder} is no archive: it has no {MANIFEST}. Name the folder that has one.")

    def tell(done: Restored) -> None:
        if done.num_records or done.num_there:
            before = f", {done.num_there} were there" if done.num_there else ""
            report(f"{done.topic}: {done.num_records} records restored{before}")

    with _empty_broker(settings) as kafka:
        create_topics(kafka)
        restore_topics(archive, kafka, tell)
    report("The log is back; the stack goes on from it: nextstate up")
    return 0


@contextmanager
def _empty_broker(settings: Settings) -> Iterator[KafkaConfig]:
    if settings.kafka.bootstrap_servers is not None:
        yield settings.kafka
        return
    home = Home(settings.home)
    if RunFile(home).is_held():
        raise RejectedError(f"A stack runs in {home.root}, so its log is not empty: end it first (nextstate down).")
    with RunFile(home).held(), started_broker(settings) as kafka:
        yield kafka
