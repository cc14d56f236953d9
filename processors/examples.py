"""`Examples`: the answer that each user accepted last after a correction, for the teachers of their later turns.

A corrected question and the answer that was accepted in the end show what a hint can only tell: how this user wants to
be answered. Before what the hinted teacher reads, as a conversation that was held earlier, they make it follow the hint
more often. Another user's are never shown, and those of nobody in particular are not remembered.

Consumes the samples of a policy in the order of their offsets; produces them with `example_ids`. Owns the examples,
which are no table: whoever reads the same samples again knows the same.
"""

from array import array
from collections.abc import MutableMapping
from dataclasses import replace

from cachetools import FIFOCache

from schemas.events import SampleBuilt

MAX_USERS = 5_000  # whose examples are remembered, the newest; 20 MB at 1,000 tokens each

_Key = tuple[str, str, str]  # policy, tenant, subject


class Examples:
    """What has been accepted so far. Args: max_tokens: of one; a longer one is not remembered, 0: none is."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._accepted: MutableMapping[_Key, array[int]] = FIFOCache(MAX_USERS)

    def shown(self, sample: SampleBuilt) -> SampleBuilt:
        """The sample with its user's example, where its teachers can use one and there is one."""
        accepted = self._accepted.get(_key(sample)) if sample.hints else None
        return sample if accepted is None else replace(sample, example_ids=tuple(accepted))

    def add(self, sample: SampleBuilt) -> None:
        """Remember it, if it is an answer that was accepted after a correction."""
        ids = (*sample.retry_prompt_ids, *sample.response_ids)
        if sample.retry_prompt_ids and sample.subject and len(ids) <= self._max_tokens:
            self._accepted[_key(sample)] = array("i", ids)

    def clear(self) -> None:
        """Forget all."""
        self._accepted.clear()


def _key(sample: SampleBuilt) -> _Key:
    return sample.policy, sample.tenant, sample.subject
