"""Samples and sealed batches of made-up tokens."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from schemas.events import BatchSealed, SampleBuilt, VersionSpan
from streams.codec import encode_batch
from streams.consumer import Recorded
from tests.unit.trainer.conftest import VOCAB_SIZE

TIME_MS = 1_770_000_000_000
_NUMBERS = itertools.count()


def sample(action_id: str | None = None, *, version: int = 0, num_tokens: int = 6, **changes: Any) -> SampleBuilt:
    """A sample with a reward and one hint; its log-probs are whatever, not the model's."""
    number = next(_NUMBERS)
    rng = random.Random(number)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(VOCAB_SIZE) for _ in range(count))

    fields: dict[str, Any] = {
        "id": f"sample-{number}",
        "time_ms": TIME_MS,
        "policy": "assistant",
        "conversation_id": f"conversation-{number}",
        "subject": "ada",
        "action_id": action_id or f"action-{number}",
        "transition_id": "transition",
        "verdict_id": "verdict",
        "hint_id": "hint",
        "turn": 0,
        "prompt_ids": ids(5),
        "response_ids": ids(num_tokens),
        "response_logprobs": tuple(-rng.random() * 3 for _ in range(num_tokens)),
        "logprob_origin": "engine",
        "token_versions": (VersionSpan(version=version, start=0, end=num_tokens),) if num_tokens else (),
        "temperature": 0.8,
        "reward": 1.0,
        "hints": ("Please be brief.",),
        "teacher_prompt_ids": (ids(9),),
    }
    return SampleBuilt(**{**fields, **changes})


def sealed(samples: Sequence[SampleBuilt], batch_id: str = "batch-1", policy: str = "assistant") -> BatchSealed:
    return BatchSealed(
        id=batch_id,
        time_ms=TIME_MS + 5,
        policy=policy,
        samples_partition=0,
        first_offset=0,
        last_offset=len(samples),
        sample_ids=tuple(sample.id for sample in samples),
        action_ids=tuple(sample.action_id for sample in samples),
    )


def recorded_batch(samples: Sequence[SampleBuilt], batch_id: str = "batch-1", policy: str = "assistant") -> Recorded:
    """A batch as the consumer hands it over."""
    event = sealed(samples, batch_id, policy)
    record = encode_batch(event, samples, "pack-0")
    return Recorded(
        topic="batches",
        partition=1,
        offset=7,
        timestamp_ms=TIME_MS + 9,
        headers=record.headers,
        key=record.key,
        value=record.value,
        event=event,
        error=None,
    )
