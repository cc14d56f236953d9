"""`retrained`: a log's sealed batches, trained once more straight through; each version must come out to the byte.

    checkpoints of the log, in its order ──► the batch that each names ──► a trainer that nothing interrupts
    ──► the digest of its manifest, which covers weights, optimizer, random generator and parentage, against the log's

That no action moved a policy twice is told elsewhere by the ids in the checkpoints, so by what a trainer says of
itself. One that had moved its weights in memory, died or went on, and named the batch once, shows only here.

Exact, because a step depends on nothing but the frozen base, the settings, the batch and the versions before it:
staleness is counted along the line, times are the batch's own, log-probs were recorded. Whoever erases, rolls back or
refuses versions meanwhile (the gate) moves the line by more than batches; such a log is not for this module.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.events import BatchSealed, CheckpointPublished
from streams.checkpoints import identify_base
from streams.erasures import Erasures
from streams.recorded import Recorded
from trainer.backends.torch import TorchBackend
from trainer.checkpoint import CheckpointStore
from trainer.config import TrainerConfig
from trainer.resume import Committed
from trainer.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Retrained:
    """How far a log's versions are what their batches make."""

    num_versions: int  # the first ones, all of them alike
    wrong: tuple[str, ...]  # of the next one, a sentence; those behind it continue from other weights

    @property
    def note(self) -> str:
        """What a row says of it."""
        return f"The weights of {self.num_versions} versions are what their batches make."


def retrained(records: Iterable[Recorded], config: TrainerConfig, model_path: Path, folder: Path) -> Retrained:
    """Blocking, and on one core; the threads of torch are those of the settings, as the trainer's own.

    Args:    records: of `batches` and `checkpoints`, of one policy; config, model_path: those that the log was made
             with; folder: for the versions that are made here, of which few are kept.
    """
    checkpoints: list[CheckpointPublished] = []
    sealed: dict[str, Recorded] = {}  # by id of the batch; one that was sent twice trains where it lies first
    for record in records:
        match record.event:
            case CheckpointPublished() as checkpoint:
                checkpoints.append(checkpoint)
            case BatchSealed() as batch:
                sealed.setdefault(batch.id, record)
    if not checkpoints:
        return Retrained(0, ("There is no version whose weights could be compared.",))
    trainer = _trainer(checkpoints[0].policy, config, model_path, folder)
    for number, checkpoint in enumerate(checkpoints):
        if (difference := _difference(trainer, checkpoint, sealed)) is not None:
            return Retrained(number, (f"Version {checkpoint.version} is not what its batches make: {difference}.",))
    return Retrained(len(checkpoints), ())


def _trainer(policy: str, config: TrainerConfig, model_path: Path, folder: Path) -> Trainer:
    return Trainer(
        config=config,
        policy=policy,
        base_model=identify_base(model_path),
        backend=TorchBackend.load(model_path, config),
        store=CheckpointStore(folder, policy),
        committed=Committed(),
    )


def _difference(trainer: Trainer, logged: CheckpointPublished, sealed: Mapping[str, Recorded]) -> str | None:
    """Trains what a version names, behind the versions before it; None: it comes out as the log has it."""
    made = None
    for batch_id in logged.batch_ids:
        if batch_id not in sealed:
            return f"the log has no batch {batch_id}"
        publication = trainer.train(sealed[batch_id], lambda: None, erasures=Erasures())
        trainer.adopt(publication)
        made = publication.checkpoint or made
    trainer.prune(lambda: None)  # a thousand folders would fill a disk
    if made is None:
        return "none of their samples trains any more"
    if made.manifest_digest == logged.manifest_digest:
        return None
    return f"they make {made.manifest_digest}, the log says {logged.manifest_digest}"
