"""`run_trainer`: sealed batches in, published versions out, each action at most once. Start reading the trainer here.

Consumes `batches` of one policy, in order. Waits for nothing but the next batch: who serves, judges or reloads meets it
only through topics. Produces, per batch, one new version, or none where nothing in it trains.

A start:
  1. fence: `init` of the transactional producer shuts out an older trainer of this policy and settles what it left open
  2. read what is committed (resume.py), and remove the folder that a crash may have left
  3. load weights, optimizer and random generator of the newest version; without one, begin from the base model

A batch, and why `kill -9` is harmless at any point of it:
  4. poll the record behind the committed offset                        a kill: polled again
  5. sort its samples (batches.py): train, skip, reject                 a kill: sorted again; alike, but for erasures
  6. train (step.py); the weights move in memory only                   a kill: the weights of step 3, trained again
  7. save the version's folder, fsynced and renamed (checkpoint.py)     a kill: step 2 removes it
  8. one transaction (publish.py): checkpoint, trained entries, skips,  a kill: step 1 commits or aborts it as a whole
     rejections and the consumed offset
  9. only now the version counts here too; old folders go               a kill: they go after a later commit
Any failure from 6 on ends the process, because memory is then ahead of the log; the next start is step 1.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from schemas.errors import CheckpointInvalidError, FatalError, RejectedError
from schemas.events import BatchSealed, CheckpointPublished
from streams import topics
from streams.checkpoints import identify_base
from streams.codec import decode_batch
from streams.config import KafkaConfig
from streams.consumer import GroupConsumer, Recorded, read_erasures
from streams.erasures import Erasures
from streams.heartbeat import Heartbeat
from streams.transactions import TransactionalProducer
from trainer.backends.base import Backend, Tensors
from trainer.backends.torch import TorchBackend
from trainer.batches import Admission, Intake, Rejected, admit
from trainer.checkpoint import CheckpointStore, Parentage
from trainer.config import TrainerConfig
from trainer.objectives.registry import check_vocabulary
from trainer.parity import Parity
from trainer.publish import (
    Publication,
    action_trained,
    batch_rejected,
    checkpoint_published,
    publish,
    sample_rejected,
    turn_rejected,
    turn_skipped,
)
from trainer.resume import Committed, read_committed, served_version
from trainer.step import StepReport, train_step

_LOGGER = logging.getLogger(__name__)
_POLL_S = 1.0


class _Stopped(Exception):  # noqa: N818 - not an error
    """The step was abandoned because the trainer is to stop."""


def run_trainer(
    config: TrainerConfig,
    kafka: KafkaConfig,
    policy: str,
    *,
    model_path: Path,
    home: Path,
    heartbeat: Path,
    stop: threading.Event,
    ends_when_done: bool = False,
) -> None:
    """Trains `policy` until `stop` is set; a step under way is then abandoned before its next forward or backward pass.

    Args:    model_path: folder of the frozen base; home: where `checkpoints/` lies; heartbeat: touched from when it can
             train until it ends; ends_when_done: stop by itself when every sealed batch is trained.
    Raises:  FatalError: for the user to mend, or another trainer took over; BrokerUnavailableError: start again later.
    """
    backend = TorchBackend.load(model_path, config)
    check_vocabulary(config.objective, backend.vocab_size)
    producer = TransactionalProducer(kafka, f"trainer-{policy}", instance=f"trainer-{policy}")
    consumer = GroupConsumer(kafka, f"trainer-{policy}", (topics.BATCHES,), instance="0")
    try:
        producer.init()  # 1
        trainer = Trainer(
            config=config,
            policy=policy,
            base_model=identify_base(model_path),
            backend=backend,
            store=CheckpointStore(home, policy),
            committed=read_committed(kafka, policy),  # 2
        )
        trainer.resume()
        with Heartbeat(heartbeat) as pulse:  # only now: a trainer that cannot begin must not look healthy
            for recorded in _batches(trainer, consumer, pulse, stop, ends_when_done=ends_when_done):  # 4
                erasures = read_erasures(kafka)
                publication = trainer.train(recorded, lambda: _go_on(pulse, stop), erasures=erasures)
                publish(producer, consumer, recorded, publication)  # 8
                trainer.adopt(publication)  # 9
                trainer.prune(lambda: served_version(kafka, policy))
    except _Stopped:
        _LOGGER.info("policy %s stops; a batch that was under way stays in the log", policy)
    finally:
        consumer.close()
        producer.close()


def _batches(
    trainer: "Trainer", consumer: GroupConsumer, pulse: Heartbeat, stop: threading.Event, *, ends_when_done: bool
) -> Iterator[Recorded]:
    while True:
        _go_on(pulse, stop)
        recorded = consumer.poll(_POLL_S)
        if recorded is None and ends_when_done and consumer.num_left() == 0:
            return
        if recorded is not None and trainer.concerns(recorded):
            yield recorded


def _go_on(pulse: Heartbeat, stop: threading.Event) -> None:
    pulse.progress()
    if stop.is_set():
        raise _Stopped


class Trainer:
    """One policy's weights and history between batches; what `train` returns counts only after `adopt`."""

    def __init__(
        self,
        *,
        config: TrainerConfig,
        policy: str,
        base_model: str,
        backend: Backend,
        store: CheckpointStore,
        committed: Committed,
    ) -> None:
        self.policy = policy
        self._config = config
        self._base_model = base_model
        self._backend = backend
        self._store = store
        self._committed = committed
        self._parity = Parity(backend, self._load_adapter)

    def resume(self) -> None:
        """Steps 2 and 3: a clean folder, and the weights of the newest version.

        Raises:  FatalError: they are not on this disk as they were published, or belong to another base model.
        """
        self._store.clean(self._committed.version + 1)
        newest = self._committed.newest
        if newest is not None:
            try:
                self._store.load(newest, self._base_model, self._backend)  # 3
            except CheckpointInvalidError as error:
                message = f"Policy {self.policy!r} cannot continue at version {newest.version}. {error}"
                raise FatalError(message) from error
        _LOGGER.info("policy %s continues at version %d", self.policy, self._committed.version)

    def concerns(self, recorded: Recorded) -> bool:
        """Whether a record of `batches` is this policy's, or says by its key that it would be if it could be read."""
        if recorded.event is None:
            return recorded.key == self.policy.encode()
        return recorded.event.policy == self.policy

    def train(self, recorded: Recorded, before_pass: Callable[[], None], *, erasures: Erasures) -> Publication:
        """Steps 5 to 7 for one record.

        Args:    before_pass: called before each forward or backward pass; what it raises abandons the step, with no
                 weight moved; erasures: whose samples do not train any more.
        """
        started_s = time.monotonic()
        try:
            batch, table = decode_batch(recorded.value)
        except RejectedError as error:
            _LOGGER.warning("batch at offset %d is rejected: %s", recorded.offset, error)
            return Publication(rejected=(batch_rejected(recorded, error, self.policy),))
        intake = admit(table, self._admission(batch, erasures))  # 5
        _LOGGER.debug("batch %s: %d of %d samples train", batch.id, len(intake.turns), len(batch.sample_ids))
        report = self._step(intake, before_pass)  # 6
        checkpoint = self._save(batch, report, started_s) if report.trained else None  # 7
        _log(self.policy, batch, checkpoint)
        unusable = (*intake.rejected, *report.rejected)
        return Publication(
            checkpoint=checkpoint,
            trained=tuple(action_trained(checkpoint, turn) for turn in report.trained) if checkpoint else (),
            skipped=(
                *(turn_skipped(batch, skipped) for skipped in intake.skipped),
                *(turn_rejected(batch, rejected) for rejected in unusable),
            ),
            rejected=tuple(sample_rejected(batch, recorded, rejected) for rejected in unusable),
        )

    def adopt(self, publication: Publication) -> None:
        """Step 9: a committed publication is history."""
        if publication.checkpoint is not None:
            self._committed.add(publication.checkpoint)

    def prune(self, served: Callable[[], int | None]) -> None:
        """Step 9, too: folders of older versions than those kept go, except that of the version which serves."""
        oldest_kept = self._committed.version - self._config.keep_checkpoints + 1
        checkpoints = self._committed.checkpoints.items()
        old = [one for version, one in checkpoints if version < oldest_kept and self._store.holds(one)]
        serving = served() if old else None
        for checkpoint in old:
            if checkpoint.version != serving:
                self._store.remove(checkpoint)

    def _admission(self, batch: BatchSealed, erasures: Erasures) -> Admission:
        return Admission(
            objective=self._config.objective,
            version=self._committed.version,
            max_staleness=self._config.max_staleness,
            vocab_size=self._backend.vocab_size,
            trained=self._committed.trained,
            erasures=erasures,
            sealed_ms=batch.time_ms,
        )

    def _step(self, intake: Intake, before_pass: Callable[[], None]) -> StepReport:
        try:
            return train_step(
                self._backend,
                self._config.objective,
                self._parity,
                intake.turns,
                version=self._committed.version,
                past_rewards=self._committed.past_rewards,
                before_pass=before_pass,
            )
        except RejectedError as error:  # of the batch as a whole, so of each of its turns
            rejected = tuple(Rejected(turn=turn, error=error) for turn in intake.turns)
            return StepReport(trained=(), rejected=rejected, metrics={})

    def _save(self, batch: BatchSealed, report: StepReport, started_s: float) -> CheckpointPublished:
        parentage = Parentage(
            version=self._committed.version + 1,
            parent_version=self._committed.version,
            base_model=self._base_model,
            objective=self._config.objective.name,
            time_ms=batch.time_ms,
            batch_ids=(batch.id,),
            sample_ids=tuple(turn.sample_id for turn in report.trained),
        )
        saved = self._store.save(self._backend, parentage)
        metrics = {**report.metrics, "seconds": time.monotonic() - started_s}
        return checkpoint_published(batch, parentage, saved, report.trained, metrics)

    def _load_adapter(self, version: int) -> Tensors:
        if version not in self._committed.checkpoints:
            message = f"Version {version} of policy {self.policy!r} is no longer in the log."
            raise CheckpointInvalidError(message)
        return self._store.load_adapter(self._committed.checkpoints[version])


def _log(policy: str, batch: BatchSealed, checkpoint: CheckpointPublished | None) -> None:
    if checkpoint is None:
        _LOGGER.info("policy %s batch %s: none of %d samples trains", policy, batch.id, len(batch.sample_ids))
        return
    numbers = " ".join(f"{name} {value:.4g}" for name, value in sorted(checkpoint.metrics.items()))
    _LOGGER.info("policy %s version %d: %s", policy, checkpoint.version, numbers)
