"""`OpenBatch` and `seal`: consecutive samples of one policy become a batch for one optimizer step.

A batch is a contiguous range of one samples partition: between its first and its last offset every sample of its policy
is in it, except records that repeat a sample which already is in a batch, and samples that no batch could hold. It is
sealed when it has the configured size, when one more sample would not fit into a record, or when its oldest sample has
waited too long.

Consumes SampleBuilt with their offsets, produces BatchSealed with its samples. The id of a batch is a digest of its
sample ids, so packing the same samples again gives the same batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from processors.emit import Emission, reject
from processors.join import skip
from schemas.errors import RejectedError
from schemas.events import BatchSealed, SampleBuilt
from schemas.identity import derived_id
from streams.codec import encode_batch
from streams.recorded import Recorded
from streams.topics import MAX_RECORD_BYTES

STAGE = "pack"
VERSION = "3"
BYTES_PER_TOKEN = 8  # id and log-prob, 4 bytes each
BYTES_PER_SPAN = 12
ROOM_BYTES = 4096  # a sample's other columns, generously
MAX_BATCH_BYTES = MAX_RECORD_BYTES * 3 // 4  # Arrow's own frame and padding, and the batch's metadata, come on top


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSample:
    """A sample that is in no batch yet, and its record."""

    sample: SampleBuilt
    record: Recorded

    @property
    def num_bytes(self) -> int:
        """How much of a batch record it takes, at most."""
        sample = self.sample
        teacher_tokens = sum(len(ids) for ids in sample.teacher_prompt_ids)
        num_tokens = len(sample.prompt_ids) + len(sample.response_ids) + teacher_tokens
        text_bytes = sum(len(hint.encode()) for hint in sample.hints)
        return num_tokens * BYTES_PER_TOKEN + len(sample.token_versions) * BYTES_PER_SPAN + text_bytes + ROOM_BYTES


@dataclass(slots=True)
class OpenBatch:
    """Samples of one policy in one partition that are in no batch yet, in order of their offsets."""

    samples: list[OpenSample] = field(default_factory=list)
    num_bytes: int = 0
    since_ms: int = 0  # when its oldest sample came, by the stage's steady clock

    def fits(self, new: OpenSample) -> bool:
        """Whether one more sample still fits into the same record."""
        return not self.samples or self.num_bytes + new.num_bytes <= MAX_BATCH_BYTES

    def add(self, new: OpenSample) -> None:
        """Append a sample."""
        self.samples.append(new)
        self.num_bytes += new.num_bytes


def seal(samples: Sequence[OpenSample], sealed_by: Literal["size", "time"]) -> BatchSealed:
    """The batch of these samples, which are consecutive and of one policy."""
    newest = max(samples, key=lambda each: each.sample.time_ms)
    first, last = samples[0].record, samples[-1].record
    ids = tuple(each.sample.id for each in samples)
    return BatchSealed(
        id=derived_id(STAGE, VERSION, ids),
        time_ms=newest.sample.time_ms,
        policy=newest.sample.policy,
        samples_partition=first.partition,
        first_offset=first.offset,
        last_offset=last.offset,
        sealed_by=sealed_by,
        sample_ids=ids,
        action_ids=tuple(each.sample.action_id for each in samples),
    )


def refuse(new: OpenSample) -> list[Emission]:
    """What accounts for a sample that no batch could hold, its rejection and its skip; nothing for any other."""
    try:
        encode_batch(seal((new,), "size"), (new.sample,), STAGE)
    except RejectedError as error:
        skipped = skip(new.sample.action_id, "rejected", new.sample, detail=str(error), stage=STAGE)
        return [Emission(event=event, cause=new.record) for event in (reject(new.record, STAGE, error), skipped)]
    return []
