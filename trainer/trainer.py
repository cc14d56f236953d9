"""`Trainer`: one policy's weights and history between batches; what `loop.py` numbers, step by step.

Consumes records of `batches` and decisions of the gate; produces a `Publication` per batch, which counts only once it
is committed. Knows no Kafka: who calls it reads, publishes and says what was committed.
"""

import logging
import time
from collections.abc import Callable, Iterable
from itertools import islice

from schemas.errors import CheckpointInvalidError, FatalError, RejectedError
from schemas.events import BatchSealed, CheckpointPublished, Event
from streams.codec import decode_batch
from streams.erasures import Erasures
from streams.failpoints import failpoint
from streams.recorded import Recorded
from trainer.backends.base import Backend, Tensors
from trainer.batches import Admission, Intake, Rejected, admit
from trainer.checkpoint import CheckpointStore, Parentage
from trainer.config import TrainerConfig
from trainer.parity import Parity
from trainer.publish import (
    Publication,
    action_trained,
    batch_rejected,
    checkpoint_published,
    sample_rejected,
    turn_rejected,
    turn_skipped,
)
from trainer.resume import Committed
from trainer.step import StepReport, train_step

_LOGGER = logging.getLogger(__name__)


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
        """Steps 2 and 3: a clean folder, and the weights of the version to continue from.

        Raises:  FatalError: they are not on this disk as they were published, or belong to another base model.
        """
        line, version = self._committed.line, self._committed.version
        self._store.clean({self._committed.next_version, *line.rollbacks})
        if self._committed.weights is not None:
            try:
                self._store.load(self._committed.weights, self._base_model, self._backend)  # 3
            except CheckpointInvalidError as error:
                message = f"Policy {self.policy!r} cannot continue at version {version}. {error}"
                raise FatalError(message) from error
        _LOGGER.info("policy %s continues at version %d; the newest is %d", self.policy, version, line.newest)

    def hear(self, decisions: Iterable[Event]) -> bool:
        """Take in what `promotions` says; True: another version is the one to continue from, so start again."""
        before = self._committed.version
        for decision in decisions:
            self._committed.line.note(decision)
        has_moved = self._committed.version != before
        if has_moved:
            _LOGGER.warning("policy %s leaves version %d for version %d", self.policy, before, self._committed.version)
        return has_moved

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
        failpoint("trainer.trained")
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

    def abandon(self, publication: Publication) -> None:
        """The folder of a step that will not be published goes."""
        if publication.checkpoint is not None:
            self._store.remove(publication.checkpoint)

    def prune(self, served: Callable[[], int | None]) -> None:
        """Step 9, too: folders of older versions than those kept go, except that of the version which serves.

        The newest ones are kept, and as many of those that were not refused: after a row of refusals these are what
        there is to go back to.
        """
        line, num_kept = self._committed.line, self._config.keep_checkpoints
        good = (version for version in line.newest_first() if not line.is_refused(version))
        kept = {line.origin(version) for version in (*islice(line.newest_first(), num_kept), *islice(good, num_kept))}
        old = [one for one in line.checkpoints.values() if one.version not in kept and self._store.holds(one)]
        serving = served() if old else None
        for checkpoint in old:
            if serving is None or checkpoint.version != line.origin(serving):
                self._store.remove(checkpoint)

    def _admission(self, batch: BatchSealed, erasures: Erasures) -> Admission:
        return Admission(
            objective=self._config.objective,
            line=self._committed.line,
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
                line=self._committed.line,
                past_rewards=self._committed.past_rewards,
                before_pass=before_pass,
            )
        except RejectedError as error:  # of the batch as a whole, so of each of its turns
            rejected = tuple(Rejected(turn=turn, error=error) for turn in intake.turns)
            return StepReport(trained=(), rejected=rejected, metrics={})

    def _save(self, batch: BatchSealed, report: StepReport, started_s: float) -> CheckpointPublished:
        parentage = Parentage(
            version=self._committed.next_version,
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

    def _load_adapter(self, version: int) -> Tensors | None:
        if not self._committed.line.knows(version):
            message = f"Version {version} of policy {self.policy!r} is no longer in the log."
            raise CheckpointInvalidError(message)
        checkpoint = self._committed.line.weights(version)
        return None if checkpoint is None else self._store.load_adapter(checkpoint)


def _log(policy: str, batch: BatchSealed, checkpoint: CheckpointPublished | None) -> None:
    if checkpoint is None:
        _LOGGER.info("policy %s batch %s: none of %d samples trains", policy, batch.id, len(batch.sample_ids))
        return
    numbers = " ".join(f"{name} {value:.4g}" for name, value in sorted(checkpoint.metrics.items()))
    _LOGGER.info("policy %s version %d: %s", policy, checkpoint.version, numbers)
