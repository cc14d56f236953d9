"""`nextstate erase` on a real log: what is left of a subject in archive, views and a restored broker: nothing."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_log import MadeLog
from test_query_on_kafka import events_of, send
from test_restore_on_kafka import another, by_place

from infra.commands.erase import erase_subject
from infra.commands.log import open_log
from infra.settings import Settings
from schemas.errors import RejectedError
from streams.archive.archiver import catch_up
from streams.archive.reading import Archive
from streams.archive.restore import restore
from streams.config import KafkaConfig
from streams.query import LogQuery

pytestmark = pytest.mark.kafka

SECRET = "my shoe size is 47"
OF_POLICY = {"checkpoints", "current-policies", "batches", "trained"}


def talked() -> MadeLog:
    """Ann and Bob, in one batch; what derives from a turn has its subject, as stages write it."""
    log = MadeLog()
    log.ready("a0", -1, f"Know: {SECRET}.", question="My size?", answer="46.", reply=f"No, {SECRET}!")
    log.ready("b0", 1, question="Bread?", answer="Bake it.", reply="Thanks!", conversation_id="of-bob")
    log.batch("batch", "a0", "b0")
    log.checkpoint(1, {"batch": ("a0", "b0")})
    for number, record in enumerate(log.records):
        if record.topic not in OF_POLICY and record.event is not None:
            a = getattr(record.event, "action_id", record.event.id)
            subject = "ann" if a.startswith("a") else "bob"
            log.records[number] = replace(record, event=replace(record.event, subject=subject))
    return log


def settings_of(kafka: KafkaConfig, home: Path) -> Settings:
    return Settings(home=home, kafka=kafka)


@pytest.mark.parametrize("is_archived", [True, False], ids=["archived before", "archived by the erasure"])
async def test_nothing_is_left_of_an_erased_subject(
    kafka: KafkaConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_archived: bool
) -> None:
    await send(kafka, events_of(talked()))
    settings = settings_of(kafka, tmp_path)
    folder = tmp_path / "archive"
    if is_archived:
        catch_up(settings.archive, kafka, folder)
        assert any(SECRET.encode() in one.value for one in Archive.read(folder).records())

    assert await asyncio.to_thread(erase_subject, settings, "ann", "default", print, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["erased"]["actions"] == 1
    (checkpoint,) = said["checkpoints"]
    assert (checkpoint["checkpoint"], checkpoint["samples"]) == ("assistant@1", ["sample-a0"])

    assert not any(SECRET.encode() in one.value for one in Archive.read(folder).records())
    with open_log(settings) as log:
        assert log.query().sql("SELECT DISTINCT subject FROM actions").rows == (("bob",),)
        assert not any(SECRET.encode() in one.value for one in log.records())
        assert log.query().sql("SELECT version, sample_ids FROM checkpoints").rows == (
            (1, ["sample-a0", "sample-b0"]),  # what it was made from stays known
        )
    fresh = another(kafka)
    restore(Archive.read(folder), fresh, lambda _: None)
    assert by_place(fresh)
    assert not any(SECRET.encode() in one.value for one in by_place(fresh))


async def test_views_over_the_broker_alone_have_forgotten_too(kafka: KafkaConfig, tmp_path: Path) -> None:
    await send(kafka, events_of(talked()))

    await asyncio.to_thread(erase_subject, settings_of(kafka, tmp_path), "ann", "default", print, as_json=False)

    assert LogQuery(kafka).sql("SELECT subject FROM turns").rows == (("bob",),)


def test_a_subject_that_nobody_knows_is_refused(kafka: KafkaConfig, tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="Nothing in the log is about subject 'eve' of tenant 'default'"):
        erase_subject(settings_of(kafka, tmp_path), "eve", "default", print, as_json=False)
