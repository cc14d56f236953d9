"""`admit`: which samples of a sealed batch train, as tensors, and what becomes of the others.

Consumes one `batches` record's Arrow table and what the trainer has committed so far; produces turns, skips and
rejections, one of them per sample. Token ids and log-probs are views into the bytes that Kafka delivered (DLPack), so a
batch is held once, however long its prompts are. A sample that contradicts itself is a rejection: the rest still train.

Legend: P prompt tokens, T response tokens, H hints.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from schemas.errors import RejectedError, TokenMismatchError
from schemas.events import SkipReason, Source
from schemas.origin import ENGINE, UNSCORED
from streams.erasures import Erasures
from streams.version_line import VersionLine
from trainer.backends.base import Response
from trainer.objectives.base import Objective, Signals
from trainer.objectives.staleness import drops_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whose sample it is, as every event about it repeats it."""

    conversation_id: str
    tenant: str
    subject: str
    source: Source
    episode_id: str | None
    group_id: str | None
    step: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One sample, ready to train. `teachers` [H] hold the same response under each hinted prompt."""

    sample_id: str
    action_id: str
    origin: Origin
    response: Response
    engine_logprobs_T: Tensor  # float32; [0] where nobody has scored it yet
    versions_T: Tensor  # int64, the policy version that drew (or scored) each token; [0] as well
    teachers: tuple[Response, ...]
    reward: float | None
    outcome: float | None
    logprob_origin: str = ENGINE

    @property
    def is_off_policy(self) -> bool:
        """Whether nobody knows with which probability its tokens were drawn, as of an imported turn."""
        return not self.logprob_origin.startswith(ENGINE)

    @property
    def is_unscored(self) -> bool:
        """Whether it has no log-probs yet."""
        return self.logprob_origin == UNSCORED

    @property
    def oldest_version(self) -> int:
        """Of the versions that drew its tokens; 0 where there is none."""
        return int(self.versions_T.min()) if len(self.versions_T) else 0

    @property
    def newest_version(self) -> int:
        """Of the versions that drew its tokens; 0 where there is none."""
        return int(self.versions_T.max()) if len(self.versions_T) else 0

    @property
    def signals(self) -> Signals:
        """What an objective may know of it before any pass."""
        return Signals(
            has_hints=bool(self.teachers),
            reward=self.reward,
            outcome=self.outcome,
            group_id=self.origin.group_id,
            step=self.origin.step,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A turn that does not train, and why."""

    turn: Turn
    reason: SkipReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A turn that cannot be used at all."""

    turn: Turn
    error: RejectedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Every sample of a batch, in its order within each field."""

    turns: tuple[Turn, ...]
    skipped: tuple[Skipped, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What decides whether a turn trains."""

    objective: Objective
    line: VersionLine  # of the trainer's policy
    max_staleness: int
    vocab_size: int
    trained: Set[str]  # action ids
    erasures: Erasures
    sealed_ms: int  # the batch's time


def admit(table: pa.Table, admission: Admission) -> Intake:
    """Sorts the samples of a batch; never raises for what a sample holds.

    Args:    table: of `streams.codec.decode_batch`, which has checked lengths and spans.
    """
    turns: dict[str, Turn] = {}  # by action: a batch that holds one twice trains it once
    skipped: list[Skipped] = []
    rejected: list[Rejected] = []
    for turn in read_turns(table):
        try:
            skip = _reason_to_skip(turn, admission, turns.keys())
        except RejectedError as error:
            rejected.append(Rejected(turn=turn, error=error))
            continue
        if skip is None:
            turns[turn.action_id] = turn
        else:
            skipped.append(Skipped(turn=turn, reason=skip[0], detail=skip[1]))
    return Intake(turns=tuple(turns.values()), skipped=tuple(skipped), rejected=tuple(rejected))


def read_turns(table: pa.Table) -> Iterator[Turn]:
    """The rows of a batch's table as turns, without copying a token."""
    for batch in table.to_batches():
        for row in range(batch.num_rows):
            yield _turn({name: batch.column(name)[row] for name in batch.schema.names})


def _turn(row: dict[str, Any]) -> Turn:
    temperature = row["temperature"].as_py()
    response_ids_T = _view(row["response_ids"].values)
    spans = row["token_versions"].as_py()
    versions_T = torch.zeros(spans[-1]["end"] if spans else 0, dtype=torch.int64)
    for span in spans:
        versions_T[span["start"] : span["end"]] = span["version"]
    prompts = [row["prompt_ids"].values, *(scalar.values for scalar in row["teacher_prompt_ids"])]
    own, *teachers = (
        Response(prompt_ids_P=_view(ids), response_ids_T=response_ids_T, temperature=temperature) for ids in prompts
    )
    return Turn(
        sample_id=row["sample_id"].as_py(),
        action_id=row["action_id"].as_py(),
        origin=Origin(**{name: row[name].as_py() for name in Origin.__slots__}),
        response=own,
        engine_logprobs_T=_view(row["response_logprobs"].values),
        versions_T=versions_T,
        teachers=tuple(teachers),
        reward=row["reward"].as_py(),
        outcome=row["outcome"].as_py(),
        logprob_origin=row["logprob_origin"].as_py(),
    )


def _view(array: Any) -> Tensor:
    return torch.utils.dlpack.from_dlpack(array)


def _reason_to_skip(turn: Turn, admission: Admission, in_batch: Set[str]) -> tuple[SkipReason, str] | None:
    if turn.action_id in admission.trained or turn.action_id in in_batch:
        return "already_trained", "The action is in `trained`, or earlier in this batch."
    if _is_erased(turn, admission):
        return "erased", "Its subject was erased before it trained."
    if len(turn.response.response_ids_T) == 0:
        return "empty_response", "The response has no tokens."
    _check_tokens(turn, admission.vocab_size)
    staleness = 0 if turn.is_unscored else admission.line.behind(turn.oldest_version)
    if turn.newest_version > admission.line.newest:
        message = (
            f"Action {turn.action_id} was taken by version {turn.newest_version}, which has not been published yet."
        )
        raise RejectedError(message)
    if staleness > admission.max_staleness:
        limit = admission.max_staleness
        detail = f"Version {turn.oldest_version} acted, {staleness} behind; trainer.max_staleness is {limit}."
        return "too_stale", detail
    if drops_all(admission.objective, admission.line.behind(turn.newest_version), is_off_policy=turn.is_off_policy):
        return "too_stale", f"Objective {admission.objective.name} drops tokens as old as all of its are."
    if turn.response.temperature <= 0:
        return "sampler_not_invertible", "Greedy decoding: a temperature of 0 leaves no distribution to learn from."
    if not admission.objective.passes(turn.signals):
        return (
            "no_objective_term",
            f"Objective {admission.objective.name} trains none of the signals that the turn has.",
        )
    return None


def _is_erased(turn: Turn, admission: Admission) -> bool:
    return admission.erasures.covers(
        sample_id=turn.sample_id,
        action_id=turn.action_id,
        tenant=turn.origin.tenant,
        subject=turn.origin.subject,
        sealed_ms=admission.sealed_ms,
    )


def _check_tokens(turn: Turn, vocab_size: int) -> None:
    """Ids outside the vocabulary crash a pass; an empty prompt would shift every log-prob by one position."""
    prompts = [turn.response.prompt_ids_P, *(teacher.prompt_ids_P for teacher in turn.teachers)]
    if any(len(ids) == 0 for ids in prompts):
        message = f"Sample {turn.sample_id} has an empty prompt; the first token of a response needs one before it."
        raise TokenMismatchError(message)
    for ids in (turn.response.response_ids_T, *prompts):
        lowest, highest = int(ids.min()), int(ids.max())
        if lowest < 0 or highest >= vocab_size:
            message = (
                f"Sample {turn.sample_id} has token ids {lowest} to {highest}; the model's are 0 to {vocab_size - 1}."
            )
            raise TokenMismatchError(message)
    if not bool(turn.engine_logprobs_T.isfinite().all()):
        message = f"Sample {turn.sample_id} has log-probs that are not finite; record them as the engine reports them."
        raise TokenMismatchError(message)
