"""The Arrow reader: any bytes as a batch, as the trainer reads it from Kafka and looks at each sample of it.

The law: a batch or a rejection with its reason; of a batch, each sample is admitted, skipped or rejected with a reason,
and nothing with ids outside the vocabulary, numbers that are none, or lists that do not fit together is admitted.
"""

import math
from pathlib import Path

from infra.faults.fuzz.arrow_damage import table_damaged
from infra.faults.fuzz.case import Case
from infra.faults.fuzz.seeds import golden_records
from infra.faults.fuzz.target import Answer, Material, Target, WrongError
from schemas.errors import RejectedError
from schemas.events import PolicyRolledBack
from streams.codec import decode_batch
from streams.erasures import Erasures
from streams.version_line import VersionLine
from trainer.batches import Admission, Turn, admit
from trainer.config import TrainerConfig

_VOCAB_SIZE = 100


def make(name: str, folder: Path) -> Target:  # noqa: ARG001 - every target's form
    """The target."""
    return ArrowReader()


class ArrowReader:
    """One batch at a time."""

    def __init__(self) -> None:
        seeds = [Case({}, record.value) for record in golden_records() if record.is_batch]
        self.material = Material(seeds=seeds, mutators=(table_damaged,))
        version = PolicyRolledBack(id="b", time_ms=0, policy="assistant", version=5, to_version=0, reason="")
        self._admission = Admission(
            objective=TrainerConfig().objective,
            line=VersionLine(rollbacks={version.version: version}),
            max_staleness=100,
            vocab_size=_VOCAB_SIZE,
            trained=frozenset(),
            erasures=Erasures(),
            sealed_ms=0,
        )

    def fresh(self) -> None:
        """Nothing is kept between batches."""

    def attempt(self, case: Case) -> Answer:
        """One batch."""
        try:
            _, table = decode_batch(case.body)
        except RejectedError as error:
            return Answer(is_taken=False, reasons=[str(error)])
        intake = admit(table, self._admission)
        if len(intake.turns) + len(intake.skipped) + len(intake.rejected) != table.num_rows:
            raise WrongError(f"of {table.num_rows} samples some are unaccounted for")
        for turn in intake.turns:
            _refuse_untrainable(turn)
        return Answer(is_taken=True, reasons=[str(one.error) for one in intake.rejected])


def _refuse_untrainable(turn: Turn) -> None:
    if any(
        len(ids) == 0 or int(ids.min()) < 0 or int(ids.max()) >= _VOCAB_SIZE
        for response in (turn.response, *turn.teachers)
        for ids in (response.prompt_ids_P, response.response_ids_T)
    ):
        raise WrongError(f"sample {turn.sample_id} was admitted with ids that the model has not")
    if not bool(turn.engine_logprobs_T.isfinite().all()):
        raise WrongError(f"sample {turn.sample_id} was admitted with log-probs that are no numbers")
    num_tokens = len(turn.response.response_ids_T)
    if not turn.is_unscored and not num_tokens == len(turn.engine_logprobs_T) == len(turn.versions_T):
        raise WrongError(f"sample {turn.sample_id} was admitted with log-probs or versions of other tokens")
    numbers = (turn.response.temperature, turn.reward or 0.0, turn.outcome or 0.0)
    if not all(map(math.isfinite, numbers)) or turn.response.temperature <= 0:
        raise WrongError(f"sample {turn.sample_id} was admitted with a temperature, reward or outcome that is none")
