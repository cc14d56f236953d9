"""What one batch leads to, without Kafka: publications, versions, resuming."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import BrokerUnavailableError, FatalError, MalformedEventError, RejectedError
from schemas.events import CheckpointPublished
from schemas.origin import UNSCORED
from streams.checkpoints import local_folder
from streams.config import KafkaConfig
from streams.consumer import Recorded
from streams.erasures import Erasures
from streams.transactions import TransactionalProducer
from streams.version_line import VersionLine
from tests.unit.trainer.builders import TIME_MS, recorded_batch, sample
from tests.version_lines import line_of, promoted, published, refused, rolled_back
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore
from trainer.config import TrainerConfig
from trainer.loop import run_trainer
from trainer.publish import Publication
from trainer.resume import Committed
from trainer.trainer import Trainer

Start = Callable[..., Trainer]


@pytest.fixture
def start(load: Callable[[], TorchBackend], config: TrainerConfig, tmp_path: Path) -> Start:
    """Starts a trainer from what is committed, as a new process would."""

    def start(committed: Committed | None = None, base_model: str = "tiny") -> Trainer:
        trainer = Trainer(
            config=config,
            policy="assistant",
            base_model=base_model,
            backend=load(),
            store=CheckpointStore(tmp_path, "assistant"),
            committed=committed or Committed(),
        )
        trainer.resume()
        return trainer

    return start


def train(trainer: Trainer, batch: Recorded) -> Publication:
    publication = trainer.train(batch, lambda: None, erasures=Erasures())
    trainer.adopt(publication)
    return publication


def checkpoint_of(publication: Publication) -> CheckpointPublished:
    assert publication.checkpoint is not None
    return publication.checkpoint


def test_a_batch_becomes_the_next_version_and_names_all_it_was_made_of(start: Start) -> None:
    samples = [sample(), sample(tenant="acme")]
    publication = train(start(), recorded_batch(samples))
    checkpoint = checkpoint_of(publication)
    assert (checkpoint.version, checkpoint.parent_version, checkpoint.objective) == (1, 0, "hybrid")
    assert checkpoint.batch_ids == ("batch-1",)
    assert checkpoint.sample_ids == tuple(sample.id for sample in samples)
    assert checkpoint.action_ids == tuple(sample.action_id for sample in samples)
    assert (checkpoint.policy, checkpoint.base_model, checkpoint.time_ms) == ("assistant", "tiny", TIME_MS + 5)
    assert local_folder(checkpoint.url).name == checkpoint.manifest_digest
    assert {"loss", "grad_norm", "reward_mean", "staleness_mean", "staleness_max", "parity_mean", "parity_max"} <= (
        checkpoint.metrics.keys()
    )
    for entry, built in zip(publication.trained, samples, strict=True):
        assert (entry.action_id, entry.sample_id, entry.version) == (built.action_id, built.id, 1)
        assert (entry.conversation_id, entry.tenant) == (built.conversation_id, built.tenant)
    assert len({checkpoint.id, *(entry.id for entry in publication.trained)}) == 3


def test_a_batch_trained_again_after_a_crash_says_the_same_again(start: Start) -> None:
    batch = recorded_batch([sample(), sample("twice"), sample("twice")])
    first, again = (start().train(batch, lambda: None, erasures=Erasures()) for _ in range(2))
    timeless = [
        replace(checkpoint_of(publication), metrics={**checkpoint_of(publication).metrics, "seconds": 0.0})
        for publication in (first, again)
    ]
    assert timeless[0] == timeless[1]
    assert (first.trained, first.skipped) == (again.trained, again.skipped)
    assert [skip.reason for skip in first.skipped] == ["already_trained"]


def test_a_restarted_trainer_goes_on_exactly_as_an_uninterrupted_one(start: Start) -> None:
    first, second = recorded_batch([sample()]), recorded_batch([sample(), sample()], "batch-2")
    straight = start()
    one = checkpoint_of(train(straight, first))
    two = checkpoint_of(train(straight, second))
    resumed = start(Committed(line=VersionLine(checkpoints={1: one}), trained=set(one.action_ids)))
    assert not local_folder(two.url).exists()  # a folder that was never published is removed
    again = checkpoint_of(train(resumed, second))
    assert again.manifest_digest == two.manifest_digest
    assert (again.id, again.version) == (two.id, 2)
    assert local_folder(again.url).is_dir()


def test_a_batch_of_which_nothing_trains_says_why_and_makes_no_version(start: Start, tmp_path: Path) -> None:
    trainer = start(Committed(trained={"old"}))
    publication = train(trainer, recorded_batch([sample("old"), sample("greedy", temperature=0.0)]))
    assert publication.checkpoint is None
    assert publication.trained == ()
    assert [(skip.action_id, skip.reason, skip.stage) for skip in publication.skipped] == [
        ("old", "already_trained", "trainer"),
        ("greedy", "sampler_not_invertible", "trainer"),
    ]
    assert not (tmp_path / "checkpoints").exists()
    assert checkpoint_of(train(trainer, recorded_batch([sample()], "batch-2"))).version == 1


def test_an_adopted_action_does_not_train_again(start: Start) -> None:
    trainer = start()
    train(trainer, recorded_batch([sample("a")]))
    publication = train(trainer, recorded_batch([sample("a", version=1)], "batch-2"))
    assert publication.checkpoint is None
    assert [skip.reason for skip in publication.skipped] == ["already_trained"]


def test_a_bad_sample_is_rejected_at_the_place_where_its_batch_lies(start: Start) -> None:
    publication = train(start(), recorded_batch([sample(), sample("bad", response_ids=(99,) * 6)]))
    assert checkpoint_of(publication).version == 1
    (rejection,) = publication.rejected
    assert (rejection.topic, rejection.partition, rejection.offset, rejection.stage) == ("batches", 1, 7, "trainer")
    assert rejection.error == "TokenMismatchError"
    assert rejection.conversation_id.startswith("conversation-")
    (skip,) = publication.skipped  # the rejection names no action
    assert (skip.action_id, skip.reason, skip.stage, skip.detail) == ("bad", "rejected", "trainer", rejection.reason)


def test_every_turn_of_a_batch_whose_gradient_is_no_number_is_accounted_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(backend: TorchBackend, num_turns: int) -> float:
        raise RejectedError("The batch's gradient is not finite.")

    monkeypatch.setattr(TorchBackend, "step", refuse)
    publication = train(start(), recorded_batch([sample("a"), sample("b"), sample("greedy", temperature=0.0)]))
    assert publication.checkpoint is None
    assert [rejection.reason for rejection in publication.rejected] == ["The batch's gradient is not finite."] * 2
    assert {skip.action_id: skip.reason for skip in publication.skipped} == {
        "greedy": "sampler_not_invertible",
        "a": "rejected",
        "b": "rejected",
    }
    events = (*publication.skipped, *publication.rejected)
    assert len({event.id for event in events}) == len(events)


def test_a_trainer_that_cannot_begin_never_looks_healthy(
    tiny_model: Path, config: TrainerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_in_vain(producer: TransactionalProducer) -> None:
        raise BrokerUnavailableError("Starting transactions failed.")

    monkeypatch.setattr(TransactionalProducer, "init", wait_in_vain)
    heartbeat = tmp_path / "heartbeat"
    with pytest.raises(BrokerUnavailableError):
        run_trainer(
            config,
            KafkaConfig(),
            "assistant",
            model_path=tiny_model,
            home=tmp_path,
            heartbeat=heartbeat,
            stop=threading.Event(),
        )
    assert not heartbeat.exists()


def test_a_record_that_is_no_batch_is_rejected_and_passed(start: Start) -> None:
    broken = replace(recorded_batch([sample()]), value=b"no arrow", event=None, error=MalformedEventError("no arrow"))
    trainer = start()
    assert trainer.concerns(broken)
    publication = train(trainer, broken)
    assert publication.checkpoint is None
    assert [rejection.error for rejection in publication.rejected] == ["MalformedEventError"]


def test_batches_of_other_policies_are_not_this_trainers(start: Start) -> None:
    other = recorded_batch([sample(policy="other")], policy="other")
    assert not start().concerns(other)
    assert not start().concerns(replace(other, event=None, error=MalformedEventError("broken")))
    assert start().concerns(recorded_batch([sample()]))


def test_only_the_newest_folders_and_the_serving_one_stay(start: Start) -> None:
    trainer = start()
    checkpoints = [
        checkpoint_of(train(trainer, recorded_batch([sample(version=version)], f"batch-{version}")))
        for version in range(4)
    ]
    trainer.prune(lambda: 1)
    assert [local_folder(checkpoint.url).exists() for checkpoint in checkpoints] == [True, False, True, True]
    trainer.prune(lambda: None)
    assert [local_folder(checkpoint.url).exists() for checkpoint in checkpoints] == [False, False, True, True]


def test_a_newest_version_that_is_damaged_or_of_another_model_stops_the_trainer(start: Start) -> None:
    one = checkpoint_of(train(start(), recorded_batch([sample()])))
    history = Committed(line=VersionLine(checkpoints={1: one}), trained=set(one.action_ids))
    with pytest.raises(FatalError, match=r"cannot continue at version 1.*builds on tiny"):
        start(history, base_model="another")
    (local_folder(one.url) / "adapter_model.safetensors").unlink()
    with pytest.raises(FatalError, match="cannot continue at version 1"):
        start(history)


def test_a_step_that_is_stopped_leaves_no_folder(start: Start, tmp_path: Path) -> None:
    stop = threading.Event()

    def before_pass() -> None:
        if stop.is_set():
            raise InterruptedError
        stop.set()

    with pytest.raises(InterruptedError):
        start().train(recorded_batch([sample(), sample()]), before_pass, erasures=Erasures())
    assert not (tmp_path / "checkpoints").exists()


def test_an_imported_turn_trains_and_is_marked_with_who_scored_it(start: Start) -> None:
    trainer = start()
    for version in range(4):  # further than max_staleness
        train(trainer, recorded_batch([sample(version=version)]))
    imported = sample("old", response_logprobs=(), token_versions=(), logprob_origin=UNSCORED)
    publication = train(trainer, recorded_batch([imported, sample("new", version=4)]))
    assert {entry.action_id: entry.logprob_origin for entry in publication.trained} == {
        "old": "scored:assistant@4",
        "new": "engine",
    }
    assert checkpoint_of(publication).metrics["num_scored_turns"] == 1.0
    assert (publication.skipped, publication.rejected) == ((), ())


def test_after_a_refusal_training_goes_on_from_the_last_good_version_and_spent_actions_stay_spent(start: Start) -> None:
    trainer = start()
    one = checkpoint_of(train(trainer, recorded_batch([sample("a")])))
    two = checkpoint_of(train(trainer, recorded_batch([sample("b", version=1)], "batch-2")))
    assert trainer.hear([promoted(1)]) is False
    assert trainer.hear([promoted(1), refused(2)]) is True
    line = line_of(one, two, promoted(1), refused(2))
    again = start(Committed(line=line, trained={"a", "b"}))
    publication = train(again, recorded_batch([sample("b", version=1), sample("c", version=1)], "batch-3"))
    three = checkpoint_of(publication)
    assert (three.version, three.parent_version, three.action_ids) == (3, 1, ("c",))
    assert [skip.reason for skip in publication.skipped] == ["already_trained"]
    assert three.metrics["staleness_max"] == 0.0


def test_weights_and_optimizer_after_a_refusal_are_those_of_the_last_good_version(start: Start) -> None:
    """What it trains next is what it would have trained had the refused version never been."""
    first, third = recorded_batch([sample("a")]), recorded_batch([sample("c", version=1)], "batch-3")
    straight = start()
    one = checkpoint_of(train(straight, first))
    straight_three = checkpoint_of(train(straight, third))
    back = start(Committed(line=line_of(one, published(2), refused(2)), trained={"a", "b"}))
    three = checkpoint_of(train(back, third))
    assert adapter_of(three) == adapter_of(straight_three)


def test_a_rollback_makes_training_continue_from_old_weights_as_a_new_version(start: Start) -> None:
    trainer = start()
    checkpoints = [
        checkpoint_of(train(trainer, recorded_batch([sample(version=version)], f"batch-{version}")))
        for version in range(3)
    ]
    assert trainer.hear([rolled_back(4, 1)]) is True
    history = Committed(line=line_of(*checkpoints, rolled_back(4, 1)), trained=set())
    five = checkpoint_of(train(start(history), recorded_batch([sample(version=4)], "batch-5")))
    assert (five.version, five.parent_version) == (5, 4)
    direct = Committed(line=line_of(checkpoints[0]), trained=set())
    two = checkpoint_of(train(start(direct), recorded_batch([sample(version=1)], "batch-9")))
    assert local_folder(two.url).is_dir()
    base = start(Committed(line=line_of(*checkpoints, rolled_back(4, 0)), trained=set()))
    assert checkpoint_of(train(base, recorded_batch([sample(version=4)], "batch-6"))).parent_version == 4


def test_the_folder_of_a_step_that_was_overtaken_goes(start: Start) -> None:
    trainer = start()
    publication = trainer.train(recorded_batch([sample()]), lambda: None, erasures=Erasures())
    folder = local_folder(checkpoint_of(publication).url)
    trainer.abandon(publication)
    assert not folder.exists()


def test_a_folder_whose_number_a_rollback_took_is_removed_at_the_next_start(start: Start) -> None:
    trainer = start()
    one = checkpoint_of(train(trainer, recorded_batch([sample()])))
    overtaken = checkpoint_of(trainer.train(recorded_batch([sample(version=1)]), lambda: None, erasures=Erasures()))
    start(Committed(line=line_of(one, rolled_back(2, 0)), trained=set(one.action_ids)))
    assert not local_folder(overtaken.url).exists()
    assert local_folder(one.url).exists()


def test_refused_versions_push_no_good_one_off_the_disk(start: Start) -> None:
    """`keep_checkpoints` is 2 here."""
    trainer = start()
    one = checkpoint_of(train(trainer, recorded_batch([sample()], "batch-1")))
    others = [
        checkpoint_of(train(trainer, recorded_batch([sample(version=version)], f"batch-{version + 1}")))
        for version in (1, 2, 3)
    ]
    trainer.hear([refused(version) for version in (2, 3, 4)])
    trainer.prune(lambda: None)
    assert [local_folder(one.url).exists() for one in (one, *others)] == [True, False, True, True]


def adapter_of(checkpoint: CheckpointPublished) -> bytes:
    return (local_folder(checkpoint.url) / "adapter_model.safetensors").read_bytes()
