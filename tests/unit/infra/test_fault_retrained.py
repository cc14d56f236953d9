"""Whether versions are what their batches make: a line that was honestly trained is, and any other weights are told."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from builders import sample, sealed

from infra.faults.retrained import Retrained, retrained
from infra.tiny_model import save_tiny_llama
from schemas.events import CheckpointPublished, SampleBuilt
from streams.checkpoints import identify_base
from streams.erasures import Erasures
from streams.memory import MemoryLog
from streams.recorded import Recorded
from streams.topics import BATCHES, CHECKPOINTS
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore
from trainer.config import TrainerConfig
from trainer.publish import Publication
from trainer.resume import Committed
from trainer.trainer import Trainer

CONFIG = TrainerConfig(lora_rank=4, learning_rate=1e-2, keep_checkpoints=2)


@dataclass
class Life:
    """A policy's log, and its trainer, which may die at any moment."""

    folder: Path
    model_path: Path
    log: MemoryLog = field(default_factory=MemoryLog)
    checkpoints: list[CheckpointPublished] = field(default_factory=list)

    def start(self, backend: TorchBackend | None = None) -> Trainer:
        committed = Committed()
        for one in self.checkpoints:
            committed.add(one)
        trainer = Trainer(
            config=CONFIG,
            policy="assistant",
            base_model=identify_base(self.model_path),
            backend=backend or TorchBackend.load(self.model_path, CONFIG),
            store=CheckpointStore(self.folder / "home", "assistant"),
            committed=committed,
        )
        trainer.resume()
        return trainer

    def seal(self, name: str, samples: Sequence[SampleBuilt] = ()) -> Recorded:
        return self.log.append(sealed(own := samples or [sample() for _ in range(3)], name), own)

    def publish(self, trainer: Trainer, publication: Publication) -> None:
        trainer.adopt(publication)
        if publication.checkpoint is not None:
            self.checkpoints.append(publication.checkpoint)
            self.log.append(publication.checkpoint)

    def train(self, trainer: Trainer, batch: Recorded) -> None:
        self.publish(trainer, trained(trainer, batch))

    def again(self) -> Retrained:
        records = (*self.log.records[BATCHES.name], *self.log.records[CHECKPOINTS.name])
        return retrained(records, CONFIG, self.model_path, self.folder / "again")


def trained(trainer: Trainer, batch: Recorded) -> Publication:
    return trainer.train(batch, lambda: None, erasures=Erasures())


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_llama(folder, 64, num_key_value_heads=1)
    return folder


@pytest.fixture
def life(tmp_path: Path, model_path: Path) -> Life:
    return Life(tmp_path, model_path)


def test_an_honest_line_is_what_its_batches_make_however_often_its_trainer_died(life: Life) -> None:
    shared = [sample(), sample(), sample()]
    second = [shared[0], sample("greedy", temperature=0.0), sample()]
    one, two = life.seal("one", shared), life.seal("two", second)
    trainer = life.start()
    life.train(trainer, one)
    trained(trainer, two)  # it dies with weights that have moved, and a folder that nobody has published
    life.train(life.start(), two)
    life.train(life.start(), life.seal("none", shared))  # a batch of which all is trained makes no version
    life.train(life.start(), life.seal("two", second))  # a producer that died sent one again
    life.train(life.start(), life.seal("three"))
    trainer = life.start()
    for name in ("four", "five"):  # some of these turns were acted by later versions, whose folders go at last
        life.train(trainer, life.seal(name, [sample(version=1), sample(version=3)]))
    assert [one.batch_ids for one in life.checkpoints][:2] == [("one",), ("two",)]
    assert life.again() == Retrained(len(life.checkpoints), ())
    assert len(list((life.folder / "again" / "checkpoints" / "assistant").iterdir())) == CONFIG.keep_checkpoints


def test_a_batch_that_moved_the_weights_twice_and_is_named_once_is_told(life: Life) -> None:
    trainer = life.start()
    life.train(trainer, life.seal("one"))
    two = life.seal("two")
    trained(trainer, two)
    life.publish(trainer, trained(trainer, two))  # a commit that failed, and a trainer that goes on in memory
    life.train(trainer, life.seal("three"))
    assert [one.version for one in life.checkpoints] == [1, 2, 3]
    assert len({action for one in life.checkpoints for action in one.action_ids}) == 9, "no id tells"
    found = life.again()
    assert found.num_versions == 1
    (told,) = found.wrong
    assert told.startswith("Version 2 is not what its batches make: ")
    assert life.checkpoints[1].manifest_digest in told


def test_a_start_without_the_optimizer_of_the_newest_version_is_told(life: Life) -> None:
    life.train(life.start(), life.seal("one"))
    backend = TorchBackend.load(life.model_path, CONFIG)
    trainer = life.start(backend)
    backend.load_state(backend.adapter(), {"random.torch": torch.get_rng_state()})  # the same weights, and no moments
    life.train(trainer, life.seal("two"))
    found = life.again()
    assert found.num_versions == 1
    assert found.wrong[0].startswith("Version 2 is not what its batches make: ")


def test_a_batch_that_trains_nothing_any_more_makes_no_version(life: Life) -> None:
    one = life.seal("one")
    life.train(life.start(), one)
    life.log.append(replace(life.checkpoints[0], version=2, parent_version=1))
    told = "Version 2 is not what its batches make: none of their samples trains any more."
    assert life.again() == Retrained(1, (told,))


def test_a_version_of_which_the_log_has_no_batch_is_told(life: Life) -> None:
    life.train(life.start(), life.seal("one"))
    life.log.records[BATCHES.name].clear()
    assert life.again() == Retrained(0, ("Version 1 is not what its batches make: the log has no batch one.",))


def test_that_there_is_no_version_proves_nothing(life: Life) -> None:
    assert life.again() == Retrained(0, ("There is no version whose weights could be compared.",))
