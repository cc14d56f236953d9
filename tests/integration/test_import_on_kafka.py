"""Old chats on a real broker: imported once, judged by the processors' process, trained."""

import asyncio
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from old_chats_made import TARGET, write_chats
from processor_world import BAD, GOOD, HINTED, UNRELATED, LetterRenderer

from infra.imports.job import WRITTEN, Chats, Import, Tally, import_files, known_ids
from infra.tiny_model import save_tiny_llama
from streams.config import KafkaConfig
from streams.consumer import Recorded, read_all
from streams.erasures import Erasures
from streams.topics import ACTIONS, BATCHES, NEXT_STATES, REJECTIONS, SKIPS, Topic
from tests.integration.test_processors import Processors
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore
from trainer.config import TrainerConfig
from trainer.resume import Committed
from trainer.trainer import Trainer

pytestmark = pytest.mark.kafka

REPLIES = (GOOD, BAD, HINTED, UNRELATED)  # three of four make a sample
DEADLINE_S = 120.0
ASCII_LETTERS = 128


def load(kafka: KafkaConfig, path: Path) -> Tally:
    job = Import(known_ids(read_all(kafka, WRITTEN)), TARGET, LetterRenderer())
    return asyncio.run(import_files(kafka, job, [Chats(path=path, kind="openai")], print))


def records(kafka: KafkaConfig, *topics: Topic) -> list[Recorded]:
    return list(read_all(kafka, topics))


@contextmanager
def processors(kafka: KafkaConfig, home: Path, config: dict[str, object]):
    started = Processors(kafka, home, config)
    try:
        yield
    finally:
        started.kill()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.2)


def test_old_chats_are_imported_once_judged_and_trained(kafka: KafkaConfig, tmp_path: Path) -> None:
    talks = [("u:hello", f"a:hi {number}", f"u:{REPLIES[number % 4]}") for number in range(16)]
    path = write_chats(tmp_path / "chats.jsonl", *talks)
    with path.open("a") as file:
        file.write("{\n")
    tally, again = load(kafka, path), load(kafka, path)
    assert (tally.conversations, tally.turns, tally.rejected) == (16, 16, 1)
    assert (again.conversations, again.turns, again.unchanged, again.rejected) == (16, 0, 16, 1)
    recorded = records(kafka, ACTIONS, NEXT_STATES, REJECTIONS)
    assert len(recorded) == 16 + 16 + 1
    assert all(record.error is None and ("ce_source", b"import-0") in record.headers for record in recorded)

    with processors(kafka, tmp_path, {"batch_size": 12}):
        until(lambda: len(records(kafka, BATCHES)) == 1, "twelve of sixteen turns are sealed into a batch")
        until(lambda: len(records(kafka, SKIPS)) == 4, "the others are skipped")
    assert {record.event.reason for record in records(kafka, SKIPS)} == {"zero_without_hint"}  # type: ignore[union-attr]

    save_tiny_llama(tmp_path / "model", ASCII_LETTERS)
    config = TrainerConfig(lora_rank=4)
    backend = TorchBackend.load(tmp_path / "model", config)
    trainer = Trainer(
        config=config,
        policy="assistant",
        base_model="tiny",
        backend=backend,
        store=CheckpointStore(tmp_path, "assistant"),
        committed=Committed(),
    )
    publication = trainer.train(records(kafka, BATCHES)[0], lambda: None, erasures=Erasures())
    assert [entry.logprob_origin for entry in publication.trained] == ["scored:assistant@0"] * 12
    assert any(weight.abs().max() > 0 for name, weight in backend.adapter().items() if "lora_B" in name)
