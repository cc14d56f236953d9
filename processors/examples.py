"""`Examples`: the answers that each user liked last, for the teachers of their later turns.

A question and the answer that was liked show what a hint can only tell: how this user wants to be answered. One that
was accepted after corrections stands right behind the question that it should have answered at once. In the place of
hints, and also where nobody corrected the turn, the teacher reads them as conversations that were held earlier, and
then the turn as it was. Another user's are never shown, and those of nobody in particular are not remembered.

Consumes the samples of a policy in the order of their offsets; produces them with `example_ids`. Owns the examples,
which are no table: whoever reads the same samples again knows the same.
"""

from array import array
from collections.abc import MutableMapping
from dataclasses import replace
from itertools import chain

from cachetools import FIFOCache

from schemas.events import SampleBuilt

MAX_USERS = 5_000  # whose examples are remembered, the newest; 40 MB at 1,000 tokens each

_Key = tuple[str, str, str]  # policy, tenant, subject


class Examples:
    """What has been liked so far. Args: count: most per user, 0: none; max_tokens: of them together."""

    def __init__(self, count: int, max_tokens: int) -> None:
        self._count = count
        self._max_tokens = max_tokens
        self._liked: MutableMapping[_Key, dict[str, array[int]]] = FIFOCache(MAX_USERS)  # by conversation, oldest first

    def shown(self, sample: SampleBuilt) -> SampleBuilt:
        """The sample with its user's examples, oldest first; without its own conversation, which its prompt holds."""
        liked = self._liked.get(_key(sample), {})
        others = [ids for conversation_id, ids in liked.items() if conversation_id != sample.conversation_id]
        if not others or sample.examples_at is None:
            return sample
        return replace(sample, example_ids=tuple(chain.from_iterable(others)))

    def add(self, sample: SampleBuilt) -> None:
        """Remember it, if its user liked it, in the place of what was liked before in the same conversation."""
        ids = array("q", sample.as_example_ids)
        if not (ids and sample.subject and self._count) or len(ids) > self._max_tokens:
            return
        liked = self._liked.get(_key(sample), {})
        liked = {each: known for each, known in liked.items() if each != sample.conversation_id}
        liked[sample.conversation_id] = ids
        while len(liked) > self._count or sum(map(len, liked.values())) > self._max_tokens:
            del liked[next(iter(liked))]
        self._liked[_key(sample)] = liked

    def clear(self) -> None:
        """Forget all."""
        self._liked.clear()


def _key(sample: SampleBuilt) -> _Key:
    return sample.policy, sample.tenant, sample.subject
