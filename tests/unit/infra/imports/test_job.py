"""Files into a log in memory, through the real stages, to the trainer: imported turns are turns like any others."""

import json
from collections import Counter
from pathlib import Path

import pytest
from old_chats_made import TARGET, write_chats
from processor_world import BAD, GOOD, HINTED, UNRELATED, UNSURE, LetterRenderer, World

from infra.imports.job import Chats, Import
from infra.tiny_model import save_tiny_llama
from processors.config import ProcessorsConfig
from schemas.events import EventRejected
from streams.erasures import Erasures
from streams.topics import ACTIONS, BATCHES, NEXT_STATES, REJECTIONS, SAMPLES, SKIPS, TRAINED
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore
from trainer.config import TrainerConfig
from trainer.resume import Committed
from trainer.trainer import Trainer

ASCII_LETTERS = 128
TALKS = [
    ("u:hello", "a:hi", f"u:{GOOD}", "a:sure", f"u:{HINTED}"),
    ("u:how", "a:so", f"u:{BAD}", "a:no", f"u:{UNRELATED}", "a:rain", f"u:{UNSURE}", "a:well"),
]


def load(world: World, path: Path) -> Import:
    known = {event.id for topic in (ACTIONS, NEXT_STATES) for event in world.log.events(topic)}
    job = Import(known, TARGET, LetterRenderer())
    for _, event in job.events(Chats(path=path, kind="openai")):
        world.log.append(event)
    return job


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    return write_chats(tmp_path / "chats.jsonl", *TALKS)


async def test_imported_turns_become_samples_or_are_skipped_for_what_was_said(chats: Path) -> None:
    world = World(ProcessorsConfig(batch_size=3))
    load(world, chats)
    await world.settle()
    samples = world.log.events(SAMPLES)
    assert {(sample.logprob_origin, sample.response_logprobs, sample.temperature) for sample in samples} == {
        ("unscored", (), 1.0)
    }
    assert [(sample.reward, sample.hints) for sample in samples] == [
        (1.0, ()),
        (-1.0, ("be kinder to people",)),
        (-1.0, ()),
    ]
    skips = Counter(skip.reason for skip in world.log.events(SKIPS))
    assert skips == {"zero_without_hint": 1, "abstained_without_hint": 1, "no_next_state": 1}
    assert len(world.log.events(BATCHES)) == 1


async def test_a_trainer_scores_them_with_its_version_and_says_so(chats: Path, tmp_path: Path) -> None:
    world = World(ProcessorsConfig(batch_size=3))
    load(world, chats)
    await world.settle()
    save_tiny_llama(tmp_path / "model", ASCII_LETTERS)
    config = TrainerConfig(lora_rank=4)
    trainer = Trainer(
        config=config,
        policy="assistant",
        base_model="tiny",
        backend=TorchBackend.load(tmp_path / "model", config),
        store=CheckpointStore(tmp_path, "assistant"),
        committed=Committed(),
    )
    publication = trainer.train(world.log.records[BATCHES.name][0], lambda: None, erasures=Erasures())
    assert publication.checkpoint is not None
    assert publication.checkpoint.metrics["num_scored_turns"] == 3
    for entry in publication.trained:
        world.log.append(entry)
    assert [entry.logprob_origin for entry in world.log.events(TRAINED)] == ["scored:assistant@0"] * 3


async def test_the_same_file_again_adds_nothing(chats: Path) -> None:
    world = World()
    first = load(world, chats)
    before = len(world.log.events(ACTIONS)), len(world.log.events(NEXT_STATES))
    again = load(world, chats)
    assert (first.tally.conversations, first.tally.turns, first.tally.unchanged) == (2, 6, 0)
    assert (again.tally.conversations, again.tally.turns, again.tally.unchanged) == (2, 0, 2)
    assert (len(world.log.events(ACTIONS)), len(world.log.events(NEXT_STATES))) == before == (6, 6)


def test_what_cannot_be_used_is_recorded_with_file_and_line_once(tmp_path: Path) -> None:
    world, path = World(), write_chats(tmp_path / "chats.jsonl", *TALKS)
    with path.open("a") as file:
        file.write('{"messages": [{"role": "user", "con\n' * 2)
        long = [{"role": "user", "content": "x" * 20_000}, {"role": "assistant", "content": "y"}]
        file.write(json.dumps({"messages": long, "user": "ada"}))
    job = load(world, path)
    assert (job.tally.conversations, job.tally.turns, job.tally.rejected) == (3, 6, 3)
    cut, too_long = world.log.events(REJECTIONS)
    assert isinstance(cut, EventRejected)
    assert isinstance(too_long, EventRejected)
    assert (cut.file, cut.line, too_long.file, too_long.line) == (str(path), 3, str(path), 5)
    assert (cut.topic, cut.partition, cut.offset, cut.stage) == ("", -1, -1, "import")
    assert "no JSON" in cut.reason
    assert cut.value_preview == '{"messages": [{"role": "user", "con'
    assert "context holds" in too_long.reason
    assert (cut.subject, too_long.subject) == ("", "ada"), "an erasure must find the words of the preview"
    assert too_long.value_preview == "x" * 200
